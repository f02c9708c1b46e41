//! After a fault the store reconnects by itself, and decisions come from Redis again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use crate::store::Store;
use tokio::time::sleep;

use super::server_errors::connections_ever;
use super::{HOUR, check, failure, take_slot, until};
use crate::fake_server::{config, contains, server};
use crate::requests::{plain_rules, request, scope};
use crate::server::Server;
use crate::timers::StoppedTimers;

/// The script cache is lost at each restart and failover, which costs no check.
#[tokio::test]
async fn a_flushed_script_is_sent_again_within_the_call() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let before = connections_ever(&mut admin);
    for remaining in [4, 3, 2, 1, 0] {
        let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut admin).unwrap();
        // Exactly one slot is taken: sent twice, decided once.
        assert_eq!(take_slot(&store, "a").await, remaining);
    }
    assert_eq!(connections_ever(&mut admin), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_flushes_costs_no_decision() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    let flushing = std::thread::spawn(move || {
        for _ in 0..300 {
            let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut admin).unwrap();
        }
    });
    let (mut allowed, mut asked) = (0, 0);
    while asked < 300 || !flushing.is_finished() {
        let batch = [request(Op::Check, "a", 250), request(Op::Check, "b", 250)];
        let results = store.run(&scope("t", plain_rules(HOUR)), &batch).await;
        let verdicts = results
            .into_iter()
            .map(|r| r.unwrap().decision.is_allowed());
        allowed += verdicts.filter(|&allowed| allowed).count();
        asked += 1;
    }
    flushing.join().unwrap();
    assert_eq!(allowed, 500);
}

/// The server may have decided a batch before its connection ended, so no request of it is sent again.
#[tokio::test]
async fn a_batch_fails_as_a_whole_when_its_connection_ends_and_is_not_sent_again() {
    let batches = Arc::<AtomicUsize>::default();
    let received = Arc::clone(&batches);
    let port = server(move |bytes, _| {
        if contains(bytes, "EVALSHA") {
            received.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        Some("+PONG\r\n")
    });
    let store = RedisStore::new(RedisConfig {
        cluster: Some(false),
        ..config(port)
    });
    let batch = ["a", "b", "c"].map(|id| request(Op::Check, id, 5));
    let mut sent = 0;
    while sent < 3 {
        let results = store.run(&scope("t", plain_rules(HOUR)), &batch).await;
        let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
        assert_eq!(
            errors.iter().map(StoreError::kind).collect::<Vec<_>>(),
            [ErrorKind::Disconnected; 3]
        );
        // Before the store has reconnected, a batch fails without being sent.
        if errors[0].may_have_run() {
            sent += 1;
        } else {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(
            errors
                .iter()
                .all(|e| e.may_have_run() == errors[0].may_have_run())
        );
        assert_eq!(batches.load(Ordering::SeqCst), sent);
    }
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    assert_eq!(take_slot(&store, "a").await, 4);
    for _ in 0..5 {
        let killed: u32 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
            .query(&mut admin)
            .unwrap();
        assert_eq!(killed, 1);
        // At most the one check that was written to the dead connection is lost.
        let errors = until(&store, None).await;
        assert!(errors.len() <= 1, "{errors:?}");
        assert!(
            errors.iter().all(|&kind| kind == ErrorKind::Disconnected),
            "{errors:?}"
        );
    }
    // No check was counted that was not decided.
    assert_eq!(take_slot(&store, "a").await, 3);
}

#[tokio::test]
async fn a_server_that_crashes_and_comes_back_is_found_again() {
    let server = Server::start(&[]);
    let store = server.store();
    assert_eq!(take_slot(&store, "a").await, 4);
    for _ in 0..2 {
        server.kill();
        // Once the end of the connection has been noticed, connects are refused.
        until(&store, Some(ErrorKind::Refused)).await;
        server.restart();
        // No check waits meanwhile. The next attempt in the background connects.
        for error in until(&store, None).await {
            assert_eq!(error, ErrorKind::Refused);
        }
        // The restart emptied it, scripts and logs.
        assert_eq!(take_slot(&store, "a").await, 4);
    }
}

/// After a failover the name leads to the new primary, but only a new connection goes there.
#[tokio::test]
async fn after_a_demotion_the_store_reconnects() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let (store, mut admin) = (server.store(), server.admin());
    assert_eq!(take_slot(&store, "a").await, 4);
    let before = connections_ever(&mut admin);
    let () = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .query(&mut admin)
        .unwrap();
    assert_eq!(failure(&store).await, ErrorKind::ReadOnly);
    let () = redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .query(&mut admin)
        .unwrap();
    assert_eq!(take_slot(&store, "a").await, 3);
    assert_eq!(connections_ever(&mut admin), before + 1);
}

/// A check that is dropped does not shift the replies: none is given to the next check.
#[tokio::test]
async fn a_dropped_check_does_not_affect_the_next() {
    let server = Server::start(&[]);
    let store = server.store();
    assert_eq!(take_slot(&store, "a").await, 4);
    for n in 1..=200_u32 {
        let short = Duration::from_micros(u64::from(n));
        let _ = tokio::time::timeout(short, check(&store, "dropped")).await;
        let scope = scope("t", plain_rules(HOUR));
        let results = store
            .run(&scope, &[request(Op::Limit, &n.to_string(), 1000 + n)])
            .await;
        assert_eq!(results[0].as_ref().unwrap().decision.remaining, 999 + n);
    }
}
