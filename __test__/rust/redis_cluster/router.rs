//! Each request goes to the node that serves its slot, and all of a batch at once.

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use huntaze_rate_limit::store::Op;

use crate::store::Store;

use super::{PATIENT, checks, hour, id, key, one_id_per_shard, request, take_slot, until_decided};
use crate::test_cluster::{Cluster, Options, SHARDS, shared, slot_of};

#[tokio::test]
async fn a_batch_over_all_shards_is_decided_in_order() {
    let cluster = shared();
    let store = cluster.store();
    // Each id seven times, interleaved: five are admitted, whatever else is in the batch.
    let who: Vec<String> = (0..9).map(|n| format!("batch-{n}")).collect();
    let asked = (0..7).flat_map(|_| who.iter());
    let results = checks(&store, asked).await;
    for (at, result) in results.iter().enumerate() {
        let allowed = result.as_ref().unwrap().decision.is_allowed();
        assert_eq!(allowed, at < 5 * who.len(), "the {at}-th");
    }
    // The logs are on the nodes of their slots, which would have redirected otherwise.
    for who in &who {
        let port = cluster.primary(cluster.shard_of(slot_of(&key(who))));
        let length: usize = cluster.command(port, &["LLEN", &key(who)]);
        assert_eq!(length, 5, "{who}");
    }
}

#[tokio::test]
async fn every_primary_is_a_shard_and_answers_a_probe() {
    let cluster = shared();
    let store = cluster.store();
    let who = one_id_per_shard("shard");
    // Nothing is known before the first request.
    assert_eq!(store.shard_of(&hour(), &id(&who[2])), 0);
    checks(&store, &who).await;
    let shards = who.iter().map(|who| store.shard_of(&hour(), &id(who)));
    assert_eq!(shards.collect::<BTreeSet<_>>(), (0..SHARDS).collect());
    for shard in 0..SHARDS {
        store.probe(&hour(), shard).await.unwrap();
    }
    // A probe of a shard that does not exist succeeds.
    store.probe(&hour(), SHARDS).await.unwrap();
    // A probe leaves no key behind.
    let keys = |port| cluster.command::<Vec<String>>(port, &["KEYS", "*#*"]);
    assert_eq!(
        cluster
            .primaries()
            .into_iter()
            .map(keys)
            .collect::<Vec<_>>()
            .concat(),
        [""; 0]
    );
}

/// The runtime does not run meanwhile: its thread is this one.
#[tokio::test]
async fn a_check_leaves_in_the_call_itself_where_its_node_is_connected() {
    let cluster = shared();
    let store = cluster.store();
    let who = one_id_per_shard("ready");
    let port = cluster.primary(cluster.shard_of(slot_of(&key(&who[0]))));
    let admissions = || -> u64 { cluster.command(port, &["LLEN", &key(&who[0])]) };
    let request = [request(Op::Check, &who[0], 1000)];
    let begun = Instant::now();
    loop {
        let checked = Instant::now();
        checks(&store, &who[..1]).await.remove(0).unwrap();
        let before = admissions();
        let scope = hour();
        let mut call = pin!(store.run(&scope, &request));
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        // A connection that has been idle for a second gets a health check first, and no request at once.
        let fresh = checked.elapsed() < Duration::from_secs(1);
        while fresh && admissions() == before {
            assert!(begun.elapsed() < PATIENT);
        }
        call.await.remove(0).unwrap();
        if fresh {
            break;
        }
        assert!(begun.elapsed() < PATIENT);
    }
}

#[tokio::test]
async fn over_tls_every_node_is_verified_under_its_announced_name() {
    let cluster = Cluster::with(Options {
        tls: true,
        users: true,
        host_names: true,
        names: vec!["localhost"],
    });
    let store = cluster.store();
    for who in one_id_per_shard("id") {
        assert_eq!(take_slot(&store, &who).await, 4);
    }
    // By their IP addresses, which are not in the certificate.
    let cluster = Cluster::with(Options {
        tls: true,
        names: vec!["localhost"],
        ..Options::default()
    });
    let store = cluster.store();
    let request = [request(Op::Check, "a", 5)];
    let error = store.run(&hour(), &request).await.remove(0).unwrap_err();
    assert_eq!(error.code(), "TLS", "{error}");
    // Unless the option gives the name in the certificate.
    let mut config = cluster.config();
    config.tls.as_mut().unwrap().server_name = Some("localhost".into());
    let store = crate::redis_store::RedisStore::new(config);
    assert_eq!(take_slot(&store, "a").await, 4);
}

/// Another server may have the address of a node that has moved.
#[tokio::test]
async fn after_a_node_that_is_not_trusted_the_others_are_queried() {
    let cluster = Cluster::with(Options {
        tls: true,
        names: vec!["localhost"],
        ..Options::default()
    });
    let store = cluster.store();
    let who = one_id_per_shard("id");
    let results = checks(&store, &who).await.into_iter();
    let codes: Vec<_> = results.filter_map(Result::err).map(|e| e.code()).collect();
    assert!(codes.contains(&"TLS"), "{codes:?}");
    // From now on they announce the name in their certificates.
    for &port in cluster.ports() {
        for (what, value) in [
            ("cluster-announce-hostname", "localhost"),
            ("cluster-preferred-endpoint-type", "hostname"),
        ] {
            let () = cluster.command(port, &["CONFIG", "SET", what, value]);
        }
    }
    for who in &who {
        until_decided(&store, who).await;
    }
}
