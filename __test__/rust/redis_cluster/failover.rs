//! A shard that loses its primary: the others do not notice, and the new primary is found.

use huntaze_rate_limit::store::ErrorKind;

use tokio::time::timeout;

use super::{PATIENT, checks, hour, id, one_id_per_shard, until_decided};
use crate::test_cluster::{Cluster, SHARDS};

#[tokio::test]
async fn the_other_shards_continue_and_the_new_primary_is_found() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let who = one_id_per_shard("id");
    assert!(checks(&store, &who).await.iter().all(Result::is_ok));
    let shard = store.shard_of(&hour(), &id(&who[1]));
    let known = store.connected(shard, u64::MAX).await;
    cluster.kill_primary(1);
    let results = checks(&store, &who).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Refused),
        "{error}"
    );
    // The replica takes over, and the store learns it without a request.
    cluster.fail_over_by(1, &["TAKEOVER"]);
    let reached = timeout(PATIENT, store.connected(shard, known))
        .await
        .unwrap();
    assert_ne!(reached, known);
    let errors = until_decided(&store, &who[1]).await;
    assert!(errors.is_empty(), "{errors:?}");
    // The number of the shard is the same.
    assert_eq!(store.shard_of(&hour(), &id(&who[1])), shard);
    store.probe(&hour(), shard).await.unwrap();
}

#[tokio::test]
async fn after_a_demotion_checks_go_to_the_new_primary() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let who = one_id_per_shard("id");
    assert!(checks(&store, &who).await.iter().all(Result::is_ok));
    cluster.fail_over(0);
    // The old primary redirects.
    let errors = until_decided(&store, &who[0]).await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn when_every_primary_is_gone_the_replicas_are_queried() {
    let cluster = Cluster::start();
    // Nodes list a replica once they know its replication offset.
    cluster.await_replicas();
    let store = cluster.store();
    let who = one_id_per_shard("id");
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
