//! What a server says of its cluster is kept, and doubted only for a reason.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use huntaze_rate_limit::store::redis::environment::plain;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};
use huntaze_rate_limit::store::{ErrorKind, Store};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{PATIENT, checks, hour, id, one_of_each, until_decided};
use crate::answering::{says, server};
use crate::cluster::{Cluster, SHARDS};

/// The answer to `CLUSTER SLOTS` of a cluster that has just been started, with these primaries.
fn slots(primaries: &[u16]) -> String {
    let from = |shard: usize| (shard * 16_384).div_ceil(primaries.len());
    let row = |(shard, port): (usize, &u16)| {
        let (first, last) = (from(shard), from(shard + 1) - 1);
        format!("*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
    };
    let rows: String = primaries.iter().enumerate().map(row).collect();
    format!("*{}\r\n{rows}", primaries.len())
}

#[tokio::test]
async fn an_error_that_passes_does_not_mean_that_there_is_no_cluster() {
    let cluster = Cluster::start();
    let (asked, slots) = (AtomicUsize::new(0), slots(&cluster.primaries()));
    let port = server(move |bytes, _| {
        Some(match says(bytes, "SLOTS") {
            true if asked.fetch_add(1, Ordering::SeqCst) > 0 => slots.clone(),
            true => "-ERR max number of clients reached\r\n".to_owned(),
            false => "+PONG\r\n".to_owned(),
        })
    });
    let store = RedisStore::new(RedisConfig {
        port,
        ..plain("127.0.0.1")
    });
    let error = checks(&store, ["a"]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MaxClients, "{error}");
    for who in one_of_each() {
        until_decided(&store, &who).await;
    }
}

/// Of the shards.
fn parts(store: &RedisStore) -> BTreeSet<usize> {
    let part = |who: String| store.part_of(&hour(), &id(&who));
    one_of_each().into_iter().map(part).collect()
}

/// What was sent to it while it was one server is answered when the cluster is known.
#[tokio::test]
async fn a_cluster_that_was_found_is_not_doubted_for_what_was_sent_before() {
    let cluster = Cluster::start();
    let (asked, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let holds = Arc::new(Notify::new());
    let tells = Arc::clone(&holds);
    let slots = slots(&cluster.primaries());
    let moved = format!("-MOVED 1 127.0.0.1:{}\r\n", cluster.seed());
    let port = server(move |bytes, _| {
        if says(bytes, "SLOTS") {
            return Some(match asked.fetch_add(1, Ordering::SeqCst) {
                0 => "-ERR This instance has cluster support disabled\r\n".to_owned(),
                _ => slots.clone(),
            });
        }
        if !says(bytes, "EVAL") {
            return Some("+PONG\r\n".to_owned());
        }
        Some(match sent.fetch_add(1, Ordering::SeqCst) {
            // The connections come to be.
            0..3 => "-OOM\r\n".to_owned(),
            3 => {
                tells.notify_one();
                held.lock().unwrap().recv().unwrap();
                moved.clone()
            }
            _ => moved.clone(),
        })
    });
    // One that is held, one that is redirected, and one to ask on: they take turns.
    let store = RedisStore::new(RedisConfig {
        port,
        connections: 3,
        ..plain("127.0.0.1")
    });
    let kind = async || {
        let result = checks(&store, ["a"]).await.remove(0);
        result.unwrap_err().kind()
    };
    for _ in 0..3 {
        assert_eq!(kind().await, ErrorKind::Oom);
    }
    let mut made = 0;
    while made < 3 {
        made = timeout(PATIENT, store.reached(0, made)).await.unwrap();
    }
    let meanwhile = async {
        holds.notified().await;
        // It is found in the call that is redirected.
        until_decided(&store, "a").await;
        assert_eq!(parts(&store), (0..SHARDS).collect());
        go.send(()).unwrap();
    };
    let both = async { tokio::join!(checks(&store, ["a"]), meanwhile) };
    let (late, ()) = timeout(PATIENT, both).await.unwrap();
    assert!(late[0].is_ok(), "{late:?}");
    // Nothing is known of parts where it has to be asked anew.
    assert_eq!(parts(&store), (0..SHARDS).collect());
}
