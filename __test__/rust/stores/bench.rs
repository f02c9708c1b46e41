//! What the contract suite runs on: each store, in a namespace of the law's own.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::quota::{Outcome, Rules};
use huntaze_rate_limit::store::redis::RedisStore;
use huntaze_rate_limit::store::{MemoryStore, Op, Request, Scope, Store};

use crate::asking::{ask, scope};
use crate::server::{Server, shared};

/// A store under test, in a namespace of its own.
pub struct Bench<S> {
    pub store: Arc<S>,
    name: String,
    _server: Option<Arc<Server>>,
}

/// The embedded store.
pub fn memory(law: &str) -> Bench<MemoryStore> {
    Bench {
        store: Arc::new(MemoryStore::new()),
        name: law.to_owned(),
        _server: None,
    }
}

/// One Redis, over one connection.
pub fn redis(law: &str) -> Bench<impl Store> {
    let server = shared();
    Bench {
        store: Arc::new(server.store()),
        name: law.to_owned(),
        _server: Some(server),
    }
}

/// The same Redis, over several connections.
pub fn redis_many(law: &str) -> Bench<impl Store> {
    let server = shared();
    let mut config = server.config();
    config.connections = 4;
    Bench {
        store: Arc::new(RedisStore::new(config)),
        name: format!("{law}.many"),
        _server: Some(server),
    }
}

impl<S: Store> Bench<S> {
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
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() { super::$law($crate::stores::bench::memory(stringify!($law))).await })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() { super::$law($crate::stores::bench::redis(stringify!($law))).await })+
        }
        mod redis_many {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() { super::$law($crate::stores::bench::redis_many(stringify!($law))).await })+
        }
    };
}
pub(super) use over_every_store;
