//! A shard that loses its primary: the others do not notice, and the replica is found.

use huntaze_rate_limit::store::{ErrorKind, Store};
use tokio::time::timeout;

use super::{PATIENT, checks, hour, id, one_of_each, until_decided};
use crate::cluster::{Cluster, SHARDS};

#[tokio::test]
async fn the_others_go_on_and_the_replica_is_found() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let who = one_of_each("id");
    assert!(checks(&store, &who).await.iter().all(Result::is_ok));
    let part = store.shard_of(&hour(), &id(&who[1]));
    let known = store.connected(part, u64::MAX).await;
    cluster.kill_primary(1);
    let results = checks(&store, &who).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Refused),
        "{error}"
    );
    // The replica takes over, and nobody has to ask for that to be known.
    cluster.fail_over_by(1, &["TAKEOVER"]);
    let reached = timeout(PATIENT, store.connected(part, known))
        .await
        .unwrap();
    assert_ne!(reached, known);
    let errors = until_decided(&store, &who[1]).await;
    assert!(errors.is_empty(), "{errors:?}");
    // It is the same part.
    assert_eq!(store.shard_of(&hour(), &id(&who[1])), part);
    store.probe(&hour(), part).await.unwrap();
}

#[tokio::test]
async fn a_primary_that_is_demoted_while_it_is_asked_is_left_for_the_new_one() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let who = one_of_each("id");
    assert!(checks(&store, &who).await.iter().all(Result::is_ok));
    cluster.fail_over(0);
    // The old primary redirects.
    let errors = until_decided(&store, &who[0]).await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn when_every_primary_is_gone_their_replicas_are_asked_who_took_over() {
    let cluster = Cluster::start();
    // They are told of once the others know how far they follow.
    cluster.await_replicas();
    let store = cluster.store();
    let who = one_of_each("id");
    assert!(checks(&store, &who).await.iter().all(Result::is_ok));
    let shards = 0..SHARDS;
    let replicas: Vec<_> = shards.map(|shard| cluster.replica(shard)).collect();
    for primary in cluster.primaries() {
        cluster.kill(primary);
    }
    for replica in replicas {
        let () = cluster.command(replica, &["CLUSTER", "FAILOVER", "TAKEOVER"]);
    }
    for who in &who {
        until_decided(&store, who).await;
    }
}
