//! Logs on Redis 7.0 or later, where one atomic script decides: on one server, or on the nodes of a cluster.
//!
//! The store sends a request to a `node`, which the `cluster` selects if there is one, over one of the node's `link`s, which
//! reconnect by themselves, as a call of a `script`.

mod backoff;
pub mod cluster;
mod config;
mod config_builder;
pub mod config_env;
mod config_url;
mod connection_stats;
mod connection_test;
mod connector;
mod credentials;
mod deployment;
mod driver;
mod errand;
pub mod error_map;
mod greet;
mod host;
mod language;
mod link;
mod live;
pub mod login;
mod node;
mod overhear;
pub mod protocol;
mod pulse;
mod resolver;
pub mod script;
mod tls;

use std::slice;
use std::sync::Arc;

pub use config::{
    Credentials, MAX_CONNECTIONS, PasswordAnswer, PasswordSource, RedisConfig, Secret, TlsConfig,
};
pub use connection_stats::ConnectionStats;
pub use connection_test::ConnectionTest;
pub use node::redirect::Redirect;
pub use tls::certificates;

use self::cluster::Cluster;
use self::deployment::{Deployment, Discovery};
use self::errand::{Answers, Ask, Errand, Probe, Tell};
use self::node::{Node, Reply};
use super::{ErrorKind, Replay, Request, Scope, Store, StoreError};
use crate::quota::{Id, Outcome};

/// One Redis or one Redis Cluster, and the connections to it. Nothing connects before the first request.
pub struct RedisStore {
    /// The configured server.
    node: Arc<Node>,
    discovery: Discovery,
}

impl RedisStore {
    /// A store on the Redis of `config`.
    pub fn new(config: RedisConfig) -> Self {
        Self::counting(config, Arc::default())
    }

    /// As [`new`](Self::new), with its connections counted in `connections`.
    pub fn counting(config: RedisConfig, connections: Arc<ConnectionStats>) -> Self {
        let node = Arc::new(Node::new(config, Arc::clone(&connections)));
        Self {
            discovery: Discovery::new(Arc::clone(&node), connections),
            node,
        }
    }

    /// Takes and gives back a slot of an id that no caller has, in the namespace of `scope`; sends a PING; and writes, reads and
    /// deletes a key of its own. Uses a connection of the checks or, if there is none, a new one.
    ///
    /// # Errors
    /// Why there is no connection, or the step that failed.
    pub async fn test_connection(&self, scope: &Scope) -> Result<ConnectionTest, StoreError> {
        // The error of a server that is away may be seconds old, and no longer be true.
        let away = self.node.is_away();
        let node = match self.discovery.deployment().await {
            Ok(Deployment::Cluster(cluster)) => cluster.node_of(scope, &Id::reserved()),
            Ok(Deployment::Standalone) => None,
            Err(error) if error.kind() == ErrorKind::Cluster || !away => return Err(error),
            Err(_) => None,
        };
        node.unwrap_or_else(|| Arc::clone(&self.node))
            .try_out(scope)
            .await
    }

    async fn send<E: Errand>(&self, call: &E, items: &[E::Item]) -> Answers<E::Answer> {
        if let Deployment::Cluster(cluster) = self.discovery.deployment().await? {
            return Ok(cluster::run(&cluster, call, items).await);
        }
        let answers = self.send_to_server(call, items).await;
        // The server has become part of a cluster. Nothing was executed, and the nodes are known by now.
        if matches!(&answers, Err(error) if error.kind() == ErrorKind::Cluster)
            && let Deployment::Cluster(cluster) = self.discovery.deployment().await?
        {
            return Ok(cluster::run(&cluster, call, items).await);
        }
        answers
    }

    /// Sends `items` to the configured server, all at once.
    async fn send_to_server<E: Errand>(&self, call: &E, items: &[E::Item]) -> Answers<E::Answer> {
        let items: Vec<_> = items.iter().collect();
        let all = 0..items.len();
        let mut replies = self
            .node
            .run(call, &items, slice::from_ref(&all), false)
            .await?;
        match replies.swap_remove(0) {
            Reply::Answer(answer) => Ok(vec![answer]),
            Reply::Answers(answers) => Ok(answers),
            Reply::Error(error) if error.kind() != ErrorKind::Cluster => Err(error),
            Reply::Error(_) | Reply::Elsewhere(_) => {
                self.discovery.rediscover();
                Err(unexpected_cluster())
            }
        }
    }
}

/// The server redirects keys although it is configured, or taken, as a single one.
fn unexpected_cluster() -> StoreError {
    let message = "the server is part of a Redis Cluster, and redis.cluster or the environment says that it is none, or the \
                   user may not ask for the slots (+cluster|slots)";
    StoreError::new(ErrorKind::Cluster, message)
}

impl Store for RedisStore {
    fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        let shard = |cluster: &Cluster| cluster.shard_of(scope, id);
        self.discovery.in_cluster(shard).unwrap_or(0)
    }

    fn primary_of(&self, shard: usize) -> Option<String> {
        match self.discovery.known() {
            Some(Deployment::Cluster(cluster)) => cluster.primary_of(shard),
            _ => Some(self.node.config().address()),
        }
    }

    fn shard_map_version(&self) -> u64 {
        match self.discovery.known() {
            Some(Deployment::Cluster(cluster)) => cluster.shard_map_version(),
            _ => 0,
        }
    }

    fn try_send<R>(&self, scope: &Scope, id: &Id, send: impl FnOnce() -> R) -> Option<R> {
        match self.discovery.known()? {
            Deployment::Standalone => self.node.at_once(send),
            Deployment::Cluster(cluster) => cluster.node_of(scope, id)?.at_once(send),
        }
    }

    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let results = self.send(&Ask(scope), requests).await;
        results.unwrap_or_else(|error| vec![Err(error); requests.len()])
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        on_results: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        let cluster = match self.discovery.deployment().await {
            Ok(Deployment::Cluster(cluster)) => cluster,
            _ => {
                let results = self.run(scope, requests).await;
                let indices: Vec<_> = (0..requests.len()).collect();
                return on_results(&indices, results);
            }
        };
        cluster::run_streaming(&cluster, &Ask(scope), requests, on_results).await;
    }

    async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        match self.discovery.deployment().await? {
            Deployment::Standalone => {
                let mut results = self.send_to_server(&Probe::new(scope, 0), &[()]).await?;
                results.swap_remove(0).map(drop)
            }
            Deployment::Cluster(cluster) => cluster.probe(scope, shard).await,
        }
    }

    async fn connected(&self, shard: usize, known: u64) -> u64 {
        if let Some(Deployment::Cluster(cluster)) = self.discovery.known() {
            return cluster.connected(shard, known).await;
        }
        let mut connects = self.node.arrivals();
        let changed = connects.wait_for(|&count| count != known).await;
        // The sender lives as long as this store.
        changed.map_or(known, |count| *count)
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.send(&Tell(scope), replays).await
    }

    async fn replay_streaming(
        &self,
        scope: &Scope,
        replays: &[Replay],
        on_results: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> Result<(), StoreError> {
        if let Deployment::Cluster(cluster) = self.discovery.deployment().await? {
            cluster::run_streaming(&cluster, &Tell(scope), replays, on_results).await;
            return Ok(());
        }
        let results = self.replay(scope, replays).await?;
        let indices: Vec<_> = (0..replays.len()).collect();
        on_results(&indices, results);
        Ok(())
    }
}
