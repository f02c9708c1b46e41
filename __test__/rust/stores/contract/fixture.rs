//! The stores that the contract suite runs on, each in a namespace of the test's own.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::quota::{Outcome, Rules};
use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::{MemoryStore, Op, Request, Scope};

use crate::store::Store;

use super::servers;
use crate::requests::{ask, scope};
use crate::server::shared;

/// A store under test, in a namespace of its own.
pub struct Fixture<S> {
    pub store: Arc<S>,
    name: String,
    /// The server or cluster behind the store. It stops with its last owner.
    _server: Box<dyn Any + Send>,
}

/// The embedded store.
pub fn memory(test: &str) -> Fixture<MemoryStore> {
    Fixture {
        store: Arc::new(MemoryStore::new()),
        name: test.to_owned(),
        _server: Box::new(()),
    }
}

/// One Redis, over one connection.
pub fn redis(test: &str) -> Fixture<impl Store> {
    let server = shared();
    on(server.config(), test.to_owned(), server)
}

/// The same Redis, over several connections.
pub fn redis_many(test: &str) -> Fixture<impl Store> {
    let server = shared();
    let config = RedisConfig {
        connections: 4,
        ..server.config()
    };
    on(config, format!("{test}.many"), server)
}

/// One Redis over TLS, as a user with the rights that a limiter needs.
pub fn redis_tls_users(test: &str) -> Fixture<impl Store> {
    let server = servers::tls_users();
    on(server.config(), test.to_owned(), server)
}

/// A Redis Cluster.
pub fn redis_cluster(test: &str) -> Fixture<impl Store> {
    let cluster = crate::test_cluster::shared();
    on(cluster.config(), test.to_owned(), cluster)
}

/// A Redis Cluster over TLS, as a user with the rights that a limiter needs. Its nodes announce host names.
pub fn redis_cluster_tls_users(test: &str) -> Fixture<impl Store> {
    let cluster = servers::cluster_tls_users();
    on(cluster.config(), test.to_owned(), cluster)
}

fn on(config: RedisConfig, name: String, server: impl Any + Send) -> Fixture<RedisStore> {
    Fixture {
        store: Arc::new(RedisStore::new(config)),
        name,
        _server: Box::new(server),
    }
}

impl<S: Store> Fixture<S> {
    pub fn scope(&self, rules: Rules) -> Scope {
        scope(&self.name, rules)
    }

    pub async fn ask(&self, rules: Rules, op: Op, who: &str, n: u32) -> Outcome {
        let outcome = ask(&*self.store, &self.scope(rules), op, who, n).await;
        outcome.unwrap()
    }

    pub async fn batch(&self, rules: Rules, requests: &[Request]) -> Vec<Outcome> {
        let results = self.store.run(&self.scope(rules), requests).await;
        assert_eq!(results.len(), requests.len(), "one result a request");
        results.into_iter().map(Result::unwrap).collect()
    }

    /// Sleeps until the moment promised by a denial.
    pub async fn wait(&self, denial: Outcome) {
        assert!(!denial.decision.is_allowed());
        let promised = denial.decision.retry_after_ms();
        tokio::time::sleep(Duration::from_millis(promised)).await;
    }
}

/// Runs each test over each store.
macro_rules! over_every_store {
    ($($test:ident),+ $(,)?) => {
        $crate::stores::contract::fixture::over_each! { ($($test),+)
            memory, redis, redis_many, redis_tls_users, redis_cluster, redis_cluster_tls_users
        }
    };
}
pub(super) use over_every_store;

macro_rules! over_each {
    ($tests:tt $($store:ident),+) => { $($crate::stores::contract::fixture::over_one! { $store $tests })+ };
}
pub(super) use over_each;

macro_rules! over_one {
    ($store:ident ($($test:ident),+)) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() { super::$test($crate::stores::contract::fixture::$store(stringify!($test))).await })+
        }
    };
}
pub(super) use over_one;
