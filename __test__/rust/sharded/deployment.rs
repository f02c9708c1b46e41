//! What the configured server is, is asked of it, once.

use huntaze_rate_limit::store::StoreError;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};

use super::{checks, left, one_of_each};
use crate::cluster::{Cluster, shared};
use crate::server::Server;

async fn error(config: RedisConfig) -> StoreError {
    let store = RedisStore::new(config);
    checks(&store, ["a"]).await.remove(0).unwrap_err()
}

#[tokio::test]
async fn one_redis_is_asked_once() {
    let server = Server::start(&[]);
    let store = server.store();
    for n in (0..5).rev() {
        assert_eq!(left(&store, "a").await, n);
    }
    let asked = |server: &Server| -> usize {
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
    assert_eq!(asked(&server), 1);
    // Nor even that, where it is said to be none.
    let server = Server::start(&[]);
    let cluster = Some(false);
    let store = RedisStore::new(RedisConfig {
        cluster,
        ..server.config()
    });
    assert_eq!(left(&store, "a").await, 4);
    assert_eq!(asked(&server), 0);
}

#[tokio::test]
async fn a_user_who_may_not_ask_has_one_redis() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let rules = ["SETUSER", "default", "-cluster"];
    let () = redis::cmd("ACL").arg(&rules).query(&mut admin).unwrap();
    assert_eq!(left(&server.store(), "a").await, 4);
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
async fn what_is_said_to_be_a_cluster_has_to_be_one() {
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
async fn a_node_that_nobody_has_given_slots_says_so() {
    let server = Server::start(&["--cluster-enabled", "yes"]);
    let error = error(server.config()).await;
    assert_eq!(error.code(), "CLUSTER");
    assert!(
        error.to_string().contains("nobody serves any slot"),
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
async fn a_cluster_that_is_said_to_be_one_redis_says_the_mend() {
    let cluster = shared();
    let store = RedisStore::new(RedisConfig {
        cluster: Some(false),
        ..cluster.config()
    });
    let results = checks(&store, one_of_each("mend")).await;
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.code(), "CLUSTER");
    assert!(error.to_string().contains("redis.cluster"), "{error}");
}

/// It has decided nothing, and is not taken for one that is refused.
#[tokio::test]
async fn a_connection_that_has_only_told_of_the_slots_is_replaced_at_once() {
    let cluster = Cluster::start();
    let ids = one_of_each("id");
    let (of_the_seed, other) = (&ids[0], &ids[1]);
    for _ in 0..3 {
        // By the name that the nodes know it by.
        let host = "127.0.0.1".to_owned();
        let store = RedisStore::new(RedisConfig {
            host,
            ..cluster.config()
        });
        left(&store, other).await;
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        let _: u32 = cluster.command(cluster.seed(), &kill);
        // It may meet the connection that is just ending.
        checks(&store, [of_the_seed]).await;
        let results = checks(&store, [of_the_seed]).await;
        assert!(results[0].is_ok(), "{results:?}");
    }
}
