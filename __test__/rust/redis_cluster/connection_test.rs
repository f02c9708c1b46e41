//! The connection test of a cluster writes a key: it goes to the node that serves the key's slot.

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::RedisConfig;

use super::hour;
use crate::server::Server;
use crate::test_cluster::shared;

#[tokio::test]
async fn any_node_leads_to_the_node_of_the_tests_key() {
    let cluster = shared();
    // Replicas, too.
    for &port in cluster.ports() {
        let store = RedisStore::new(RedisConfig {
            port,
            ..cluster.config()
        });
        // Before any check, and after.
        for _ in 0..2 {
            let test = store.test_connection(&hour()).await;
            let test = test.unwrap_or_else(|error| panic!("by {port}: {error}"));
            assert!(test.key.starts_with("{t:}test:"), "{}", test.key);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_as_configured_fails_the_test() {
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
