//! A trial of the way to a cluster has a key: it goes to the node that serves that.

use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};

use super::hour;
use crate::cluster::shared;
use crate::server::Server;

#[tokio::test]
async fn any_node_leads_to_the_one_that_has_the_trials_key() {
    let cluster = shared();
    // Replicas, too.
    for &port in cluster.ports() {
        let store = RedisStore::new(RedisConfig {
            port,
            ..cluster.config()
        });
        // Before any check, and after.
        for _ in 0..2 {
            let trial = store.test_connection(&hour()).await;
            let trial = trial.unwrap_or_else(|error| panic!("by {port}: {error}"));
            assert!(trial.key.starts_with("{t:}test:"), "{}", trial.key);
        }
    }
}

#[tokio::test]
async fn what_is_not_as_configured_is_said() {
    let server = Server::start(&[]);
    let store = RedisStore::new(RedisConfig {
        cluster: Some(true),
        ..server.config()
    });
    let error = store.test_connection(&hour()).await.unwrap_err();
    assert_eq!(error.code(), "CLUSTER");
    let message = error.to_string();
    assert!(message.contains("not part of a Redis Cluster"), "{message}");
}
