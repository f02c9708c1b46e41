//! Slots that are migrated: no check fails, none is counted twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::{ErrorKind, Op};

use crate::store::Store;
use tokio::time::{sleep, timeout};

use super::{checks, hour, ids_of_shard, key, request, take_slot};
use crate::acl::USER;
use crate::fake_server::{config, contains, counting_server, server};
use crate::server::share;
use crate::starvation::{HEALTH_CHECK, retry_if_starved};
use crate::test_cluster::{Cluster, Options, slot_of};

/// A cluster for tests that each migrate a slot of their own.
fn own_cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

#[tokio::test]
async fn a_migrated_slot_is_found_in_the_same_call() {
    let cluster = own_cluster();
    let store = cluster.store();
    let who = ids_of_shard("moved", 0).next().unwrap();
    assert_eq!(take_slot(&store, &who).await, 4);
    cluster.migrate(slot_of(&key(&who)), 2);
    // MOVED, and then at once: a new topology has come.
    for n in (0..4).rev() {
        assert_eq!(take_slot(&store, &who).await, n);
    }
}

#[tokio::test]
async fn during_a_migration_both_owners_are_used() {
    let cluster = own_cluster();
    let store = cluster.store();
    let who = ids_of_shard("moves", 0).next().unwrap();
    assert_eq!(take_slot(&store, &who).await, 4);
    let migration = cluster.importing(slot_of(&key(&who)), 1);
    assert_eq!(take_slot(&store, &who).await, 3);
    migration.key(&key(&who));
    // ASK: it has left, and the slot is not served there yet.
    assert_eq!(take_slot(&store, &who).await, 2);
    // For the check before, the script was not known there. Now it is.
    assert_eq!(take_slot(&store, &who).await, 1);
    migration.finish();
    assert_eq!(take_slot(&store, &who).await, 0);
    assert!(
        !checks(&store, [&who]).await[0]
            .as_ref()
            .unwrap()
            .decision
            .is_allowed()
    );
}

/// Ids whose keys have one slot in common.
fn of_one_slot() -> Vec<String> {
    let mut ids = std::collections::HashMap::<u16, Vec<String>>::new();
    for who in ids_of_shard("both", 0) {
        let slot = slot_of(&key(&who));
        let list = ids.entry(slot).or_default();
        list.push(who);
        if list.len() == 3 {
            return ids.remove(&slot).unwrap();
        }
    }
    unreachable!("ids do not end")
}

#[tokio::test]
async fn keys_of_a_slot_that_are_on_both_nodes_are_sent_one_by_one() {
    let cluster = own_cluster();
    let store = cluster.store();
    let who = of_one_slot();
    for who in &who[..2] {
        assert_eq!(take_slot(&store, who).await, 4);
    }
    let migration = cluster.importing(slot_of(&key(&who[0])), 2);
    migration.key(&key(&who[0]));
    // One key has left, one has not, and one is new: together they get TRYAGAIN.
    let requests: Vec<_> = who.iter().map(|who| request(Op::Limit, who, 5)).collect();
    let results = store.run(&hour(), &requests).await;
    let remaining = results
        .iter()
        .map(|result| result.as_ref().unwrap().decision.remaining);
    assert_eq!(remaining.collect::<Vec<_>>(), [3, 3, 4]);
    migration.finish();
    let results = store.run(&hour(), &requests).await;
    let remaining = results
        .iter()
        .map(|result| result.as_ref().unwrap().decision.remaining);
    assert_eq!(remaining.collect::<Vec<_>>(), [2, 2, 3]);
}

#[tokio::test]
async fn a_missing_right_to_asking_is_named() {
    let cluster = Cluster::with(Options {
        users: true,
        ..Options::default()
    });
    let set_right = |rule: &str| {
        for &port in cluster.ports() {
            let () = cluster.command(port, &["ACL", "SETUSER", USER, rule]);
        }
    };
    let store = cluster.store();
    let who = of_one_slot();
    assert_eq!(take_slot(&store, &who[0]).await, 4);
    set_right("-asking");
    let migration = cluster.importing(slot_of(&key(&who[0])), 1);
    // A key that is still there is decided. A new key is sent to the other node.
    assert_eq!(take_slot(&store, &who[0]).await, 3);
    let error = checks(&store, &who[1..2]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPerm, "{error}");
    assert!(error.to_string().contains("ASKING"), "{error}");
    set_right("+asking");
    assert_eq!(take_slot(&store, &who[1]).await, 4);
    migration.finish();
}

/// The redirecting node does not know the host of the new owner.
#[tokio::test]
async fn a_redirect_to_an_unknown_host_is_not_followed() {
    let (sent, own_port) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
    let (counts, known) = (Arc::clone(&sent), Arc::clone(&own_port));
    let port = server(move |bytes, _| {
        let port: u16 = *known.wait();
        Some(if contains(bytes, "SLOTS") {
            // It claims to serve all slots, at the host on which it was queried.
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:{port}\r\n")
        } else if contains(bytes, "EVAL") {
            counts.fetch_add(1, Ordering::SeqCst);
            format!("-MOVED 7 ?:{port}\r\n")
        } else {
            "+PONG\r\n".to_owned()
        })
    });
    own_port.set(port).unwrap();
    let store = RedisStore::new(config(port));
    let error = checks(&store, ["a"]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster, "{error}");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

/// A node that is about to get its first slots is in no reply to `CLUSTER SLOTS`: it is known from redirects alone.
#[test]
fn a_node_that_is_only_redirected_to_keeps_its_connection() {
    retry_if_starved(HEALTH_CHECK, async || {
        let (new, connections) = counting_server(|bytes, _| {
            Some(match contains(bytes, "EVAL") {
                true => "+OK\r\n-OOM\r\n",
                false => "+PONG\r\n",
            })
        });
        let (queries, own_port) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
        let (counts, known) = (Arc::clone(&queries), Arc::clone(&own_port));
        let port = server(move |bytes, _| {
            let port: u16 = *known.wait();
            Some(if contains(bytes, "SLOTS") {
                counts.fetch_add(1, Ordering::SeqCst);
                format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:{port}\r\n")
            } else if contains(bytes, &key("moves")) {
                format!("-ASK 7 127.0.0.1:{new}\r\n")
            } else if contains(bytes, "EVAL") {
                "-CLUSTERDOWN\r\n".to_owned()
            } else {
                "+PONG\r\n".to_owned()
            })
        });
        own_port.set(port).unwrap();
        let store = RedisStore::new(config(port));
        // The node is in none of the replies to `CLUSTER SLOTS`.
        while queries.load(Ordering::SeqCst) < 4 {
            for who in ["moves", "other"] {
                // A command that arrives together with another is not answered.
                let _ = timeout(Duration::from_millis(100), checks(&store, [who])).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    });
}
