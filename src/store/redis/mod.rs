//! Logs on one Redis 7.0 or later, decided there by one atomic script.

mod address;
mod config;
mod connect;
mod driver;
pub mod environment;
mod greet;
mod link;
mod reply;
pub mod script;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use config::{
    Credentials, DEFAULT_PORT, MAX_CONNECTIONS, PasswordAnswer, PasswordSource, RedisConfig,
    Secret, TlsConfig,
};
pub use tls::certificates;

use self::link::Link;
use self::script::By;
use super::{ErrorKind, Request, Scope, Store, StoreError};
use crate::quota::Outcome;

/// One Redis and the connections to it. Nothing connects before the first request.
pub struct RedisStore {
    links: Vec<Link>,
    turn: AtomicUsize,
}

impl RedisStore {
    /// A store at the place that `config` names.
    pub fn new(config: RedisConfig) -> Self {
        let config = Arc::new(config);
        let count = config.connections.clamp(1, MAX_CONNECTIONS);
        Self {
            links: (0..count).map(|_| Link::new(Arc::clone(&config))).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    async fn ask(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let link = &self.links[turn % self.links.len()];
        let live = link.live().await?;
        let mut connection = live.connection.clone();
        let by_hash = script::command(By::Hash, scope, requests);
        let mut result = by_hash.query_async(&mut connection).await;
        // The script cache is empty after a restart and practically every failover. The server refused before it ran
        // anything, so asking again cannot count twice.
        if matches!(&result, Err(e) if e.code() == Some("NOSCRIPT")) {
            let by_source = script::command(By::Source, scope, requests);
            result = by_source.query_async(&mut connection).await;
        }
        let results = result
            .map(|value| script::outcomes(value, scope.rules.window, requests.len()))
            .map_err(|e| reply::instead_of_reply(&e));
        let spoilt = match &results {
            Ok(results) => results
                .iter()
                .any(|r| matches!(r, Err(e) if spoils_from_inside(e))),
            Err(error) => error.spoils_connection(),
        };
        if spoilt {
            link.discard(&live);
        }
        results
    }
}

/// Whether an error that the script caught for one key spoils the connection. A demoted primary's refusal does, and it
/// comes only this way; a key of another type is no fault of the connection.
fn spoils_from_inside(error: &StoreError) -> bool {
    error.spoils_connection() && error.kind() != ErrorKind::Protocol
}

impl Store for RedisStore {
    fn at_once<R>(&self, send: impl FnOnce() -> R) -> Option<R> {
        // The link that is next: the one that `send` will ask, unless another thread is just asking too. Then the task of
        // that link's driver does what this one would have.
        let turn = self.turn.load(Ordering::Relaxed);
        let live = self.links[turn % self.links.len()].ready()?;
        live.driver.push_on(send)
    }

    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        match self.ask(scope, requests).await {
            Ok(results) => results,
            Err(error) => {
                let error = match error.kind() {
                    ErrorKind::Cluster => StoreError::new(
                        ErrorKind::Cluster,
                        "the server is part of a Redis Cluster, which this version does not speak; \
                         name one primary, or use a replication group with cluster mode disabled",
                    ),
                    _ => error,
                };
                vec![Err(error); requests.len()]
            }
        }
    }
}
