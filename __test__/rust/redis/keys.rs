//! The keys on a server after a run: their names, their database, and that each has a TTL.

use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::Op;

use crate::store::Store;

use super::{HOUR, PATIENT, take_slot};
use crate::requests::{anomaly_rules, plain_rules, request, scope};
use crate::server::Server;

fn keys(admin: &mut redis::Connection) -> Vec<String> {
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(admin).unwrap();
    keys.sort();
    keys
}

/// The TTL of a key that does not exist.
const GONE: i64 = -2;

fn ttl(admin: &mut redis::Connection, key: &str) -> i64 {
    redis::cmd("PTTL").arg(key).query(admin).unwrap()
}

/// I9: every key expires.
#[tokio::test]
async fn every_key_lives_a_window_and_the_slack_at_most() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let ops = [
        Op::Check,
        Op::Limit,
        Op::Status,
        Op::Check,
        Op::Reset,
        Op::Check,
        Op::Limit,
    ];
    for (window, slack) in [(60_000, 15_000), (HOUR, 60_000), (2_678_400_000, 60_000)] {
        let scope = scope(
            &format!("w{window}"),
            anomaly_rules(window, 1.0, window.min(300_000)),
        );
        for round in 0..10 {
            // Some ids are denied and reported, some are not, one is reset over and over.
            let batch: Vec<_> = ops
                .iter()
                .enumerate()
                .map(|(i, &op)| request(op, &(i % 3).to_string(), 1 + round * i as u32 % 7))
                .collect();
            assert!(store.run(&scope, &batch).await.iter().all(Result::is_ok));
            for key in keys(&mut admin) {
                if !key.starts_with(&format!("{{w{window}:")) {
                    continue;
                }
                let ttl = ttl(&mut admin, &key);
                assert!(ttl > 0, "{key} is immortal: {ttl}");
                assert!(ttl <= (window + slack) as i64, "{key} lives for {ttl}");
            }
        }
    }
    assert!(keys(&mut admin).len() >= 6);
}

/// Once its slots are free an id needs no key: an idle id leaves nothing behind.
#[tokio::test]
async fn an_idle_id_leaves_no_key() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let scope = scope("t", anomaly_rules(200, 1.0, 200));
    for _ in 0..3 {
        store
            .run(&scope, &[request(Op::Check, "a", 1)])
            .await
            .remove(0)
            .unwrap();
    }
    // On a busy machine it may be gone already.
    let rest = ttl(&mut admin, "{t:a}");
    assert!(rest == GONE || (1..=250).contains(&rest), "{rest}");
    let begun = Instant::now();
    while !keys(&mut admin).is_empty() {
        assert!(begun.elapsed() < PATIENT);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_key_is_the_namespace_and_the_escaped_id() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let batch = ["42", "a:b", "{x}*\n"].map(|who| request(Op::Check, who, 1));
    for name in ["creators", "uploads"] {
        let results = store.run(&scope(name, plain_rules(HOUR)), &batch).await;
        assert!(
            results
                .iter()
                .all(|r| r.as_ref().unwrap().decision.is_allowed()),
            "{name}"
        );
    }
    let expected = [
        "{creators:%7Bx%7D%2A%0A}",
        "{creators:42}",
        "{creators:a%3Ab}",
        "{uploads:%7Bx%7D%2A%0A}",
        "{uploads:42}",
        "{uploads:a%3Ab}",
    ];
    assert_eq!(keys(&mut admin), expected);
}

#[tokio::test]
async fn status_and_reset_make_no_key() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let batch = [request(Op::Status, "a", 5), request(Op::Reset, "b", 5)];
    assert!(
        store
            .run(&scope("t", plain_rules(HOUR)), &batch)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(keys(&mut admin), [""; 0]);
}

/// A full log takes what design.md says: a list of milliseconds, one an admission.
#[tokio::test]
async fn a_log_never_holds_more_than_its_limit_and_a_tally() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let scope = scope("t", anomaly_rules(HOUR, 2.0, 300_000));
    for _ in 0..40 {
        store
            .run(&scope, &[request(Op::Check, "a", 10)])
            .await
            .remove(0)
            .unwrap();
        let length: u32 = redis::cmd("LLEN").arg("{t:a}").query(&mut admin).unwrap();
        assert!(length <= 11, "{length}");
    }
}

#[tokio::test]
async fn the_configured_database_is_used() {
    let server = Server::start(&[]);
    let mut config = server.config();
    config.database = 3;
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 4);
    // The same id in database 0 is another.
    assert_eq!(take_slot(&server.store(), "a").await, 4);
    let mut admin = server.admin();
    for database in [0, 3] {
        let () = redis::cmd("SELECT")
            .arg(database)
            .query(&mut admin)
            .unwrap();
        assert_eq!(keys(&mut admin), ["{t:a}"], "database {database}");
    }
}
