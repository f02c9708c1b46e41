//! Slots that move: no check fails, none is counted twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use huntaze_rate_limit::store::redis::RedisStore;
use huntaze_rate_limit::store::{ErrorKind, Op, Store};
use tokio::time::{sleep, timeout};

use super::{checks, hour, ids_of, key, left, request};
use crate::acl::USER;
use crate::cluster::{Cluster, Options, slot_of};
use crate::fake_server::{config, contains, counting_server, server};
use crate::server::share;
use crate::starvation::{HEALTH_CHECK, retry_if_starved};

/// Where one test moves one slot, and another the next.
fn moving() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

#[tokio::test]
async fn a_slot_that_has_moved_is_found_in_the_same_call() {
    let cluster = moving();
    let store = cluster.store();
    let who = ids_of("moved", 0).next().unwrap();
    assert_eq!(left(&store, &who).await, 4);
    cluster.migrate(slot_of(&key(&who)), 2);
    // MOVED, and then at once: a new topology has come.
    for n in (0..4).rev() {
        assert_eq!(left(&store, &who).await, n);
    }
}

#[tokio::test]
async fn a_slot_on_its_way_is_asked_on_both_sides() {
    let cluster = moving();
    let store = cluster.store();
    let who = ids_of("moves", 0).next().unwrap();
    assert_eq!(left(&store, &who).await, 4);
    let moving = cluster.importing(slot_of(&key(&who)), 1);
    assert_eq!(left(&store, &who).await, 3);
    moving.key(&key(&who));
    // ASK: it has left, and the slot is not served there yet.
    assert_eq!(left(&store, &who).await, 2);
    // The script is not known there, and by now it is.
    assert_eq!(left(&store, &who).await, 1);
    moving.finish();
    assert_eq!(left(&store, &who).await, 0);
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
    for who in ids_of("both", 0) {
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
async fn keys_of_a_slot_that_are_on_both_sides_are_asked_one_by_one() {
    let cluster = moving();
    let store = cluster.store();
    let who = of_one_slot();
    for who in &who[..2] {
        assert_eq!(left(&store, who).await, 4);
    }
    let moving = cluster.importing(slot_of(&key(&who[0])), 2);
    moving.key(&key(&who[0]));
    // One has left, one has not, and one is new: TRYAGAIN for them together.
    let requests: Vec<_> = who.iter().map(|who| request(Op::Limit, who, 5)).collect();
    let results = store.run(&hour(), &requests).await;
    let remaining = results
        .iter()
        .map(|result| result.as_ref().unwrap().decision.remaining);
    assert_eq!(remaining.collect::<Vec<_>>(), [3, 3, 4]);
    moving.finish();
    let results = store.run(&hour(), &requests).await;
    let remaining = results
        .iter()
        .map(|result| result.as_ref().unwrap().decision.remaining);
    assert_eq!(remaining.collect::<Vec<_>>(), [2, 2, 3]);
}

#[tokio::test]
async fn a_user_who_may_not_say_asking_is_told_so() {
    let cluster = Cluster::with(Options {
        users: true,
        ..Options::default()
    });
    let may = |rule: &str| {
        for &port in cluster.ports() {
            let () = cluster.command(port, &["ACL", "SETUSER", USER, rule]);
        }
    };
    let store = cluster.store();
    let who = of_one_slot();
    assert_eq!(left(&store, &who[0]).await, 4);
    may("-asking");
    let moving = cluster.importing(slot_of(&key(&who[0])), 1);
    // What is there still is decided; what is new is asked about on the other side.
    assert_eq!(left(&store, &who[0]).await, 3);
    let error = checks(&store, &who[1..2]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPerm, "{error}");
    assert!(error.to_string().contains("ASKING"), "{error}");
    may("+asking");
    assert_eq!(left(&store, &who[1]).await, 4);
    moving.finish();
}

/// A node that does not know where the slot is now, by name, says so once.
#[tokio::test]
async fn a_redirect_to_an_unknown_host_is_not_followed() {
    let (sent, place) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
    let (counts, known) = (Arc::clone(&sent), Arc::clone(&place));
    let port = server(move |bytes, _| {
        let port: u16 = *known.wait();
        Some(if contains(bytes, "SLOTS") {
            // By its own word it serves them all, at whatever address it was asked.
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$-1\r\n:{port}\r\n")
        } else if contains(bytes, "EVAL") {
            counts.fetch_add(1, Ordering::SeqCst);
            format!("-MOVED 7 ?:{port}\r\n")
        } else {
            "+PONG\r\n".to_owned()
        })
    });
    place.set(port).unwrap();
    let store = RedisStore::new(config(port));
    let error = checks(&store, ["a"]).await.remove(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster, "{error}");
    assert_eq!(sent.load(Ordering::SeqCst), 1);
}

/// A node that is to get its first slots is none that the others tell of: it is known by their redirects alone.
#[test]
fn a_node_that_is_only_redirected_to_keeps_its_connection() {
    retry_if_starved(HEALTH_CHECK, async || {
        let (new, connections) = counting_server(|bytes, _| {
            Some(match contains(bytes, "EVAL") {
                true => "+OK\r\n-OOM\r\n",
                false => "+PONG\r\n",
            })
        });
        let (told, place) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::new()));
        let (counts, known) = (Arc::clone(&told), Arc::clone(&place));
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
        place.set(port).unwrap();
        let store = RedisStore::new(config(port));
        // Each time that slots are told of, the node is none of those who have any.
        while told.load(Ordering::SeqCst) < 4 {
            for who in ["moves", "other"] {
                // What comes in together with another question is not answered.
                let _ = timeout(Duration::from_millis(100), checks(&store, [who])).await;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    });
}
