//! Standalone or cluster: the store queries the configured server once.

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::StoreError;
use huntaze_rate_limit::store::redis::RedisConfig;

use super::{checks, one_id_per_shard, take_slot};
use crate::server::Server;
use crate::test_cluster::{Cluster, shared};

async fn error(config: RedisConfig) -> StoreError {
    let store = RedisStore::new(config);
    checks(&store, ["a"]).await.remove(0).unwrap_err()
}

#[tokio::test]
async fn a_standalone_redis_is_queried_once() {
    let server = Server::start(&[]);
    let store = server.store();
    for n in (0..5).rev() {
        assert_eq!(take_slot(&store, "a").await, n);
    }
    let queries = |server: &Server| -> usize {
        let mut admin = server.admin();
        let stats: String = redis::cmd("INFO")
            .arg("commandstats")
            .query(&mut admin)
            .unwrap();
        let line = stats
            .lines()
            .find(|line| line.starts_with("cmdstat_cluster|slots:"));
        line.map_or(0, |line| {
            line.split(['=', ',']).nth(1).unwrap().parse().unwrap()
        })
    };
    assert_eq!(queries(&server), 1);
    // And not at all where the configuration says that it is no cluster.
    let server = Server::start(&[]);
    let cluster = Some(false);
    let store = RedisStore::new(RedisConfig {
        cluster,
        ..server.config()
    });
    assert_eq!(take_slot(&store, "a").await, 4);
    assert_eq!(queries(&server), 0);
}

#[tokio::test]
async fn without_the_right_to_query_a_server_counts_as_standalone() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let rules = ["SETUSER", "default", "-cluster"];
    let () = redis::cmd("ACL").arg(&rules).query(&mut admin).unwrap();
    assert_eq!(take_slot(&server.store(), "a").await, 4);
    let cluster = Some(true);
    let error = error(RedisConfig {
        cluster,
        ..server.config()
    })
    .await;
    assert_eq!(error.code(), "CLUSTER");
    assert!(error.to_string().contains("+cluster|slots"), "{error}");
}

#[tokio::test]
async fn a_server_configured_as_a_cluster_has_to_be_one() {
    let server = Server::start(&[]);
    let cluster = Some(true);
    let error = error(RedisConfig {
        cluster,
        ..server.config()
    })
    .await;
    assert_eq!(error.code(), "CLUSTER");
    assert!(
        error.to_string().contains("not part of a Redis Cluster"),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_of_a_cluster_without_slots_is_an_error() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    let error = error(server.config()).await;
    assert_eq!(error.code(), "CLUSTER");
    assert!(
        error.to_string().contains("no node serves a slot"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_has_database_0_only() {
    let cluster = shared();
    let error = error(RedisConfig {
        database: 1,
        ..cluster.config()
    })
    .await;
    assert_eq!(error.code(), "CLUSTER");
    assert!(error.to_string().contains("remove the database"), "{error}");
}

#[tokio::test]
async fn a_cluster_configured_as_standalone_is_an_error_with_a_hint() {
    let cluster = shared();
    let store = RedisStore::new(RedisConfig {
        cluster: Some(false),
        ..cluster.config()
    });
    let results = checks(&store, one_id_per_shard("hint")).await;
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.code(), "CLUSTER");
    assert!(error.to_string().contains("redis.cluster"), "{error}");
}

/// The connection has not decided anything, and its loss does not count as a refused connect.
#[tokio::test]
async fn a_connection_that_only_served_the_slots_is_replaced_at_once() {
    let cluster = Cluster::start();
    let ids = one_id_per_shard("id");
    let (of_seed, other) = (&ids[0], &ids[1]);
    for _ in 0..3 {
        // The host that the nodes announce.
        let host = "127.0.0.1".to_owned();
        let store = RedisStore::new(RedisConfig {
            host,
            ..cluster.config()
        });
        take_slot(&store, other).await;
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _: u32 = cluster.command(cluster.seed(), &kill);
        // This check may be sent on the connection that is just closing.
        checks(&store, [of_seed]).await;
        let results = checks(&store, [of_seed]).await;
        assert!(results[0].is_ok(), "{results:?}");
    }
}
