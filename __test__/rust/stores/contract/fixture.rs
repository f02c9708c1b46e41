//! What the contract suite runs on: each store, in a namespace of the law's own.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::quota::{Outcome, Rules};
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};
use huntaze_rate_limit::store::{MemoryStore, Op, Request, Scope, Store};

use super::servers;
use crate::requests::{ask, scope};
use crate::server::shared;

/// A store under test, in a namespace of its own.
pub struct Fixture<S> {
    pub store: Arc<S>,
    name: String,
    /// What the store is on: gone with the last that holds it.
    _place: Box<dyn Any + Send>,
}

/// The embedded store.
pub fn memory(law: &str) -> Fixture<MemoryStore> {
    Fixture {
        store: Arc::new(MemoryStore::new()),
        name: law.to_owned(),
        _place: Box::new(()),
    }
}

/// One Redis, over one connection.
pub fn redis(law: &str) -> Fixture<impl Store> {
    let server = shared();
    on(server.config(), law.to_owned(), server)
}

/// The same Redis, over several connections.
pub fn redis_many(law: &str) -> Fixture<impl Store> {
    let server = shared();
    let config = RedisConfig {
        connections: 4,
        ..server.config()
    };
    on(config, format!("{law}.many"), server)
}

/// One Redis over TLS, as a user who may do what a limiter needs.
pub fn redis_tls_users(law: &str) -> Fixture<impl Store> {
    let server = servers::tls_users();
    on(server.config(), law.to_owned(), server)
}

/// A Redis Cluster.
pub fn cluster(law: &str) -> Fixture<impl Store> {
    let cluster = crate::cluster::shared();
    on(cluster.config(), law.to_owned(), cluster)
}

/// A Redis Cluster over TLS, as a user who may do what a limiter needs; its nodes go by names.
pub fn cluster_tls_users(law: &str) -> Fixture<impl Store> {
    let cluster = servers::cluster_tls_users();
    on(cluster.config(), law.to_owned(), cluster)
}

fn on(config: RedisConfig, name: String, place: impl Any + Send) -> Fixture<RedisStore> {
    Fixture {
        store: Arc::new(RedisStore::new(config)),
        name,
        _place: Box::new(place),
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

/// Runs each law over each store.
macro_rules! over_every_store {
    ($($law:ident),+ $(,)?) => {
        $crate::stores::contract::fixture::over_each! { ($($law),+)
            memory, redis, redis_many, redis_tls_users, cluster, cluster_tls_users
        }
    };
}
pub(super) use over_every_store;

macro_rules! over_each {
    ($laws:tt $($store:ident),+) => { $($crate::stores::contract::fixture::over_one! { $store $laws })+ };
}
pub(super) use over_each;

macro_rules! over_one {
    ($store:ident ($($law:ident),+)) => {
        mod $store {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() { super::$law($crate::stores::contract::fixture::$store(stringify!($law))).await })+
        }
    };
}
pub(super) use over_one;
