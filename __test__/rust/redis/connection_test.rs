//! The connection test leaves nothing behind and says what failed; and connections are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::engine::ConnectionTest;
use huntaze_rate_limit::store::redis::ConnectionStats;
use huntaze_rate_limit::store::{ErrorKind, Scope};

use super::{HOUR, PATIENT, check, take_slot};
use crate::requests::{plain_rules, scope};
use crate::server::Server;

async fn until<T>(found: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(it) = found().await {
            return it;
        }
        assert!(begun.elapsed() < PATIENT, "it did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server whose default user lacks a right.
fn without(right: &str) -> Server {
    let server = Server::start(&[]);
    let mut acl = redis::cmd("ACL");
    let () = acl
        .arg(&["SETUSER", "default", &format!("-{right}")])
        .query(&mut server.admin())
        .unwrap();
    server
}

fn t() -> Scope {
    scope("t", plain_rules(HOUR))
}

#[tokio::test]
async fn every_step_is_taken_and_no_key_stays() {
    let server = Server::start(&[]);
    let store = server.store();
    let one = store.test_connection(&t()).await.unwrap();
    let other = store.test_connection(&t()).await.unwrap();
    let ConnectionTest { version, key, .. } = &one;
    assert!(key.starts_with("{t:}test:"), "{key}");
    assert!((&one.key, &one.value) != (&other.key, &other.value));
    let mut admin = server.admin();
    let info: String = redis::cmd("INFO").arg("server").query(&mut admin).unwrap();
    let line = format!("redis_version:{}\r\n", version.as_deref().unwrap());
    assert!(info.contains(&line), "{line}");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut admin).unwrap();
    assert_eq!(keys, [""; 0]);
    // On the connection that the checks use.
    assert_eq!(take_slot(&store, "a").await, 4);
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let server = without("set");
    let error = server.store().test_connection(&t()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPerm);
    assert!(error.to_string().contains("needs SET, too"), "{error}");
    let without_info = without("info");
    let test = without_info.store().test_connection(&t()).await.unwrap();
    assert_eq!(test.version, None);
}

/// Where the test succeeds, checks do.
#[tokio::test]
async fn the_rights_of_the_limiter_are_tested_as_well() {
    for right in ["evalsha", "lpush", "ltrim"] {
        let server = without(right);
        let error = server.store().test_connection(&t()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoPerm, "{right}");
        assert!(!error.to_string().contains("this test"), "{right}: {error}");
    }
}

/// A cached error of a server that was away must not be returned to the operator who has just repaired it.
#[tokio::test]
async fn a_server_that_has_just_come_back_is_found_at_once() {
    let server = Server::start(&[]);
    let store = server.store();
    take_slot(&store, "a").await;
    server.kill();
    for _ in 0..8 {
        let error = store.test_connection(&t()).await.unwrap_err();
        assert!(
            [ErrorKind::Refused, ErrorKind::Disconnected].contains(&error.kind()),
            "{error}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.restart();
    store.test_connection(&t()).await.unwrap();
}

#[tokio::test]
async fn a_replica_fails_the_test() {
    let server = Server::start(&[]);
    let () = redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", "1"])
        .query(&mut server.admin())
        .unwrap();
    let error = server.store().test_connection(&t()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn connections_are_counted() {
    let server = Server::start(&[]);
    let counted = Arc::<ConnectionStats>::default();
    let store = RedisStore::counting(server.config(), Arc::clone(&counted));
    assert_eq!((counted.opened_total(), counted.open()), (0, 0));
    take_slot(&store, "a").await;
    assert_eq!((counted.opened_total(), counted.open()), (1, 1));
    assert_eq!(counted.replacements(), 0);
    server.kill();
    until(async || (counted.open() == 0).then_some(())).await;
    let failed = store.test_connection(&t()).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Refused);
    assert!(counted.failures() > 0);
    server.restart();
    until(async || check(&store, "a").await.ok()).await;
    assert_eq!((counted.opened_total(), counted.open()), (2, 1));
    assert_eq!(counted.replacements(), 1);
    drop(store);
    until(async || (counted.open() == 0).then_some(())).await;
}
