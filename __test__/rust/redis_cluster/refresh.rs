//! Refreshing the topology: what a node has said of the cluster is kept, and replaced only for a reason.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::RedisConfig;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::{PATIENT, checks, hour, id, ids_of_shard, one_id_per_shard, until_decided};
use crate::fake_server::{config, contains, server};
use crate::starvation::retry_if_starved;
use crate::test_cluster::{SHARDS, shared};

/// The reply to `CLUSTER SLOTS` of a cluster that has just been started, with these primaries.
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
async fn a_transient_error_does_not_mean_that_there_is_no_cluster() {
    let cluster = shared();
    let (asked, slots) = (AtomicUsize::new(0), slots(&cluster.primaries()));
    let port = server(move |bytes, _| {
        Some(match contains(bytes, "SLOTS") {
            true if asked.fetch_add(1, Ordering::SeqCst) > 0 => slots.clone(),
            true => "-ERR max number of clients reached\r\n".to_owned(),
            false => "+PONG\r\n".to_owned(),
        })
    });
    let store = RedisStore::new(config(port));
    let error = checks(&store, ["a"]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MaxClients, "{error}");
    for who in one_id_per_shard("refresh") {
        until_decided(&store, &who).await;
    }
}

/// The numbers of the shards.
fn shards(store: &RedisStore) -> BTreeSet<usize> {
    let shard = |who: String| store.shard_of(&hour(), &id(&who));
    one_id_per_shard("refresh").into_iter().map(shard).collect()
}

/// A batch sent while the server counted as standalone is answered when the cluster is known.
#[tokio::test]
async fn a_known_cluster_is_not_dropped_for_a_batch_sent_before() {
    let cluster = shared();
    let (asked, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (go, held) = channel::<()>();
    let held = Mutex::new(held);
    let holds = Arc::new(Notify::new());
    let notifies = Arc::clone(&holds);
    let slots = slots(&cluster.primaries());
    let moved = format!("-MOVED 1 127.0.0.1:{}\r\n", cluster.seed());
    let port = server(move |bytes, _| {
        if contains(bytes, "SLOTS") {
            return Some(match asked.fetch_add(1, Ordering::SeqCst) {
                0 => "-ERR This instance has cluster support disabled\r\n".to_owned(),
                _ => slots.clone(),
            });
        }
        if !contains(bytes, "EVAL") {
            return Some("+PONG\r\n".to_owned());
        }
        Some(match sent.fetch_add(1, Ordering::SeqCst) {
            // The first check of each connection.
            0..3 => "-OOM\r\n".to_owned(),
            3 => {
                notifies.notify_one();
                held.lock().unwrap().recv().unwrap();
                moved.clone()
            }
            _ => moved.clone(),
        })
    });
    // One connection that is held, one that is redirected, and one for the query: they are used round robin.
    let store = RedisStore::new(RedisConfig {
        connections: 3,
        ..config(port)
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
        made = timeout(PATIENT, store.connected(0, made)).await.unwrap();
    }
    let meanwhile = async {
        holds.notified().await;
        // The redirected call finds the cluster.
        until_decided(&store, "a").await;
        assert_eq!(shards(&store), (0..SHARDS).collect());
        go.send(()).unwrap();
    };
    let both = async { tokio::join!(checks(&store, ["a"]), meanwhile) };
    let (late, ()) = timeout(PATIENT, both).await.unwrap();
    assert!(late[0].is_ok(), "{late:?}");
    // Without a topology there would be one shard.
    assert_eq!(shards(&store), (0..SHARDS).collect());
}

/// The index of `word` in the bytes: several commands may come at once.
fn position(bytes: &[u8], word: &str) -> Option<usize> {
    let mut windows = bytes.windows(word.len());
    windows.position(|window| window == word.as_bytes())
}

/// How long a node has to reply with its slots (`QUERY_TIMEOUT` in `engine/deployment.rs`). If one of two nodes that agree is late,
/// they do not outvote the third.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// A node that was cut off from the others replies with the old owner of every slot, each time it is queried.
#[test]
fn an_older_topology_does_not_replace_a_newer_one() {
    retry_if_starved(QUERY_TIMEOUT, async || {
        // In both, the first of three primaries has the slot of this id.
        let who = ids_of_shard("id", 0).next().unwrap();
        let (past, now) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let node = |view: &Arc<OnceLock<String>>| {
            let view = Arc::clone(view);
            let counts = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
            let [queries, checks] = counts.clone();
            let port = server(move |bytes, _| {
                let (slots, eval) = (position(bytes, "SLOTS"), position(bytes, "EVAL"));
                queries.fetch_add(slots.iter().count(), Ordering::SeqCst);
                checks.fetch_add(eval.iter().count(), Ordering::SeqCst);
                // On which the store queries the topology.
                let down = "-CLUSTERDOWN\r\n";
                Some(match (slots, eval) {
                    (Some(slots), Some(eval)) if slots < eval => format!("{}{down}", view.wait()),
                    (Some(_), Some(_)) => format!("{down}{}", view.wait()),
                    (Some(_), None) => view.wait().clone(),
                    (None, Some(_)) => down.to_owned(),
                    (None, None) => "+PONG\r\n".to_owned(),
                })
            });
            (port, counts)
        };
        let (old, [_, checks_of_old]) = node(&past);
        let [(new, [queries, _]), (one, _), (cut_off, _)] = [node(&now), node(&now), node(&past)];
        past.set(slots(&[old, one, cut_off])).unwrap();
        now.set(slots(&[new, one, cut_off])).unwrap();
        let store = RedisStore::new(config(new));
        let begun = Instant::now();
        while queries.load(Ordering::SeqCst) < 8 {
            assert!(begun.elapsed() < PATIENT);
            let error = checks(&store, [&who]).await.remove(0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ClusterDown, "{error}");
            assert_eq!(checks_of_old.load(Ordering::SeqCst), 0);
            sleep(Duration::from_millis(20)).await;
        }
    });
}
