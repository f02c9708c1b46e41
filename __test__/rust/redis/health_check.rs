//! Health checks: a dead connection that was idle costs no check, and a connection that keeps failing is reconnected in the
//! background, with growing delays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::ConnectionStats;

use crate::store::Store;
use tokio::time::{sleep, timeout};

use super::lossy_proxy::LossyProxy;
use super::server_errors::connections_ever;
use super::{HOUR, PATIENT, check, failure, take_slot, until};
use crate::requests::{plain_rules, scope};
use crate::server::Server;
use crate::starvation::retry_if_starved;
use crate::timers::StoppedTimers;

/// The usual deadline of a check.
const DEADLINE: Duration = Duration::from_millis(250);

/// How long a reconnect may take. (The chaos suite holds it to the deadline.)
const SOON: Duration = Duration::from_secs(1);

/// A store behind a proxy that can lose everything.
fn behind_proxy(server: &Server) -> (RedisStore, LossyProxy) {
    let proxy = LossyProxy::to(server.port);
    let mut config = server.config();
    config.port = proxy.port;
    (RedisStore::new(config), proxy)
}

/// The state after a suspended process resumes: a connection that a router in between has forgotten.
#[test]
fn an_idle_connection_that_died_unseen_costs_no_check() {
    retry_if_starved(SOON, async || {
        let server = Server::start(&[]);
        let (store, proxy) = behind_proxy(&server);
        assert_eq!(take_slot(&store, "a").await, 4);
        proxy.lose_all();
        sleep(Duration::from_millis(1100)).await;
        let decided = timeout(SOON, take_slot(&store, "a")).await;
        assert_eq!(decided, Ok(3));
        assert_eq!(proxy.accepted(), 2);
    });
}

#[tokio::test]
async fn an_idle_connection_that_lives_is_kept() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let (store, proxy) = behind_proxy(&server);
    assert_eq!(take_slot(&store, "a").await, 4);
    for remaining in [3, 2] {
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(take_slot(&store, "a").await, remaining);
    }
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn a_connection_without_a_reply_is_given_up() {
    retry_if_starved(DEADLINE, async || {
        let server = Server::start(&[]);
        let (store, proxy) = behind_proxy(&server);
        assert_eq!(take_slot(&store, "a").await, 4);
        proxy.lose_all();
        // It was in use a moment ago, so the first check is sent on it, and gives up at its deadline.
        assert!(timeout(DEADLINE, check(&store, "a")).await.is_err());
        assert_eq!(timeout(SOON, take_slot(&store, "a")).await, Ok(3));
        assert_eq!(proxy.accepted(), 2);
    });
}

/// A limiter with a short deadline must not close the connection of the others.
#[tokio::test]
async fn a_short_deadline_alone_closes_no_connection() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let (store, proxy) = behind_proxy(&server);
    assert_eq!(take_slot(&store, "a").await, 4);
    // Some checks are dropped before they are written, some after.
    for polls in (0..3).cycle().take(100) {
        let given_up = check(&store, "b");
        tokio::pin!(given_up);
        for _ in 0..=polls {
            let _ = futures_util::poll!(&mut given_up);
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(take_slot(&store, "a").await, 3);
    assert_eq!(proxy.accepted(), 1);
}

/// A replica accepts connections and takes no writes: it must not be hammered with connects.
#[tokio::test]
async fn a_server_that_takes_no_writes_is_not_hammered() {
    let server = Server::start(&["--replicaof", "127.0.0.1", "1"]);
    let (store, mut admin) = (server.store(), server.admin());
    let before = connections_ever(&mut admin);
    let begun = Instant::now();
    let (mut asked, mut connects) = (0, 0);
    while begun.elapsed() < Duration::from_secs(2) || asked < 20 || connects < 2 {
        assert_eq!(failure(&store).await, ErrorKind::ReadOnly);
        asked += 1;
        sleep(Duration::from_millis(1)).await;
        connects = connections_ever(&mut admin) - before;
        assert!(
            begun.elapsed() < PATIENT,
            "{asked} asked, {connects} connects"
        );
    }
    // Delays of 50, 100, 200, 400 and 800 ms on average, and of a second from then on.
    let most = 40 + begun.elapsed().as_secs();
    assert!(connects < most, "{connects} connects, {asked} asked");
}

/// The logs of a replica may be out of date: it does not even answer a status.
#[tokio::test]
async fn a_replica_answers_nothing() {
    let server = Server::start(&["--replicaof", "127.0.0.1", "1"]);
    let status = crate::requests::request(huntaze_rate_limit::store::Op::Status, "a", 5);
    let results = server
        .store()
        .run(&scope("t", plain_rules(HOUR)), &[status])
        .await;
    assert_eq!(results[0].as_ref().unwrap_err().kind(), ErrorKind::ReadOnly);
}

/// A failed connection costs no check while others work.
#[tokio::test]
async fn a_connection_that_is_away_is_passed_over() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let mut config = server.config();
    config.connections = 2;
    let counted = Arc::<ConnectionStats>::default();
    let store = RedisStore::counting(config, Arc::clone(&counted));
    assert_eq!(
        (take_slot(&store, "a").await, take_slot(&store, "a").await),
        (4, 3)
    );
    // No more connections than there are: the one that is killed cannot be replaced.
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "maxclients", "2"])
        .query(&mut admin)
        .unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut admin).unwrap();
    let evalsha = list.lines().find(|line| line.contains("cmd=evalsha"));
    let first = evalsha.unwrap().split(' ').next().unwrap();
    let id = first.strip_prefix("id=").unwrap();
    let () = redis::cmd("CLIENT")
        .arg(&["KILL", "ID", id])
        .query(&mut admin)
        .unwrap();
    // Once the loss has been noticed, and a reconnect has failed.
    let begun = Instant::now();
    while counted.open() > 1 || counted.failures() == 0 {
        assert!(begun.elapsed() < PATIENT);
        sleep(Duration::from_millis(1)).await;
    }
    for remaining in [4, 3, 2, 1] {
        assert_eq!(take_slot(&store, "b").await, remaining);
    }
}

#[tokio::test]
async fn a_probe_needs_a_write_and_leaves_no_key() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let scope = scope("t", plain_rules(HOUR));
    assert!(store.probe(&scope, 0).await.is_ok());
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut admin).unwrap();
    assert_eq!(keys, Vec::<String>::new());
    let () = redis::cmd("REPLICAOF")
        .arg(&["127.0.0.1", "1"])
        .query(&mut admin)
        .unwrap();
    let error = store.probe(&scope, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
}

#[tokio::test]
async fn connected_resolves_with_a_new_connection() {
    let server = Server::start(&[]);
    let store = server.store();
    let known = store.connected(0, u64::MAX).await;
    take_slot(&store, "a").await;
    let reached = store.connected(0, known).await;
    server.kill();
    until(&store, Some(ErrorKind::Refused)).await;
    server.restart();
    // No request is sent meanwhile.
    let again = timeout(PATIENT, store.connected(0, reached)).await.unwrap();
    assert!(again > reached);
}
