//! Logs on one Redis 7.0 or later, decided there by one atomic script.

mod address;
pub mod backoff;
mod config;
mod connect;
mod connections;
mod driver;
pub mod environment;
mod greet;
mod link;
mod live;
mod pulse;
mod replay;
mod reply;
mod resolve;
pub mod script;
mod tls;
mod trial;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::{Cmd, Value};

pub use config::{
    Credentials, DEFAULT_PORT, MAX_CONNECTIONS, PasswordAnswer, PasswordSource, RedisConfig,
    Secret, TlsConfig,
};
pub use connections::Connections;
pub use tls::certificates;
pub use trial::Trial;

use self::link::Link;
use self::live::{Live, Place};
use self::script::{By, Tag};
use super::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use crate::quota::{Id, Limit, Outcome};

/// One Redis and the connections to it. Nothing connects before the first request.
pub struct RedisStore {
    place: Arc<Place>,
    links: Vec<Link>,
    turn: AtomicUsize,
}

impl RedisStore {
    /// A store at the place that `config` names.
    pub fn new(config: RedisConfig) -> Self {
        Self::counting(config, Arc::default())
    }

    /// The same, and its connections are counted among `connections`.
    pub fn counting(config: RedisConfig, connections: Arc<Connections>) -> Self {
        let count = config.connections.clamp(1, MAX_CONNECTIONS);
        let place = Arc::new(Place::new(config, connections));
        Self {
            links: (0..count).map(|_| Link::new(Arc::clone(&place))).collect(),
            place,
            turn: AtomicUsize::new(0),
        }
    }

    /// A link that may be used at once, from the one whose turn it is on. While others connect or are away, nobody waits for
    /// them; where none may be used, one that is being made.
    fn link(&self, turn: usize) -> &Link {
        let count = self.links.len();
        let places = || (0..count).map(|n| &self.links[(turn + n) % count]);
        let first = &self.links[turn % count];
        if first.ready().is_none() {
            first.nudge();
        }
        let ready = places().find(|link| link.ready().is_some());
        let ready = ready.or_else(|| places().find(|link| !link.is_away()));
        ready.unwrap_or(first)
    }

    /// Takes and gives back a slot of nobody's in the namespace of `scope`, asks for a PING, and writes, reads and deletes a
    /// key of its own: on a connection that the checks use or, where there is none, on one that is made for this.
    ///
    /// # Errors
    /// Why there is no connection, or what the server did not do as asked.
    pub async fn try_out(&self, scope: &Scope) -> Result<Trial, StoreError> {
        let link = self.link(self.turn.load(Ordering::Relaxed));
        if link.is_away() {
            // What is known of it may be seconds old, and be mended since.
            let live = self.place.connect().await?;
            return tokio::select! {
                tried = trial::run(&live, scope) => tried,
                () = live.driver.run() => {
                    let closed = "the server closed the connection";
                    Err(StoreError::new(ErrorKind::Disconnected, closed))
                }
            };
        }
        let live = link.live().await?;
        let tried = trial::run(&live, scope).await;
        if let Err(error) = &tried
            && error.spoils_connection()
        {
            link.discard(&live, error.clone());
        }
        tried
    }

    async fn ask(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let command = |by, tag| script::command(by, tag, scope, requests);
        let read =
            |value: &_, tag| script::outcomes(value, tag, scope.rules.window, requests.len());
        self.call(command, read).await
    }

    /// Runs a script that answers for several keys.
    async fn call<T>(
        &self,
        command: impl Fn(By, Tag) -> Cmd,
        read: impl FnOnce(&Value, Tag) -> Result<Vec<Result<T, StoreError>>, StoreError>,
    ) -> Result<Vec<Result<T, StoreError>>, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let link = self.link(turn);
        let live = link.live().await.map_err(StoreError::unsent)?;
        let tag = Tag::of(turn);
        let reply = call(&live, |by| command(by, tag)).await;
        let results = reply.and_then(|value| read(&value, tag));
        let spoilt = match &results {
            Ok(results) => results
                .iter()
                .find_map(|r| r.as_ref().err().filter(|e| e.spoils_connection())),
            Err(error) => Some(error).filter(|e| e.spoils_connection()),
        };
        if let Some(error) = spoilt {
            link.discard(&live, error.clone());
        } else if results.is_ok() {
            live.prove();
        }
        results
    }
}

/// Runs a script over `live`, and sends its source along where the server does not have it: after a restart, and practically
/// every failover. The server has refused then before it ran anything, so asking again cannot count twice.
async fn call(live: &Live, command: impl Fn(By) -> Cmd) -> Result<Value, StoreError> {
    let mut connection = live.connection.clone();
    let waiting = Waiting(live);
    live.pulse.sent();
    let mut result = command(By::Hash).query_async(&mut connection).await;
    if matches!(&result, Err(e) if e.code() == Some("NOSCRIPT")) {
        live.pulse.heard();
        live.pulse.sent();
        result = command(By::Source).query_async(&mut connection).await;
    }
    live.pulse.heard();
    drop(waiting);
    result.map_err(|e| reply::instead_of_reply(&e))
}

/// Somebody who waits for an answer. Given up, with nothing heard for long, the connection is in doubt.
struct Waiting<'a>(&'a Live);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pulse.given_up();
    }
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
        let results = self.ask(scope, requests).await;
        results.unwrap_or_else(|error| vec![Err(explained(error)); requests.len()])
    }

    async fn probe(&self, scope: &Scope) -> Result<(), StoreError> {
        // A reset, which a server refuses that takes no writes.
        let request = Request {
            op: Op::Reset,
            id: Id::nobody(),
            limit: Limit::literal(1),
        };
        let mut results = self.run(scope, &[request]).await;
        results.swap_remove(0).map(drop)
    }

    async fn reached(&self, known: u64) -> u64 {
        let mut arrivals = self.place.arrivals.subscribe();
        let changed = arrivals.wait_for(|&count| count != known).await;
        // The sender lives as long as this store.
        changed.map_or(known, |count| *count)
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let command = |by, tag| replay::command(by, tag, scope, replays);
        let read = |value: &_, tag| replay::results(value, tag, replays.len());
        self.call(command, read).await
    }
}

fn explained(error: StoreError) -> StoreError {
    match error.kind() {
        ErrorKind::Cluster => StoreError::new(
            ErrorKind::Cluster,
            "the server is part of a Redis Cluster, which this version does not speak; name one \
             primary, or use a replication group with cluster mode disabled",
        ),
        _ => error,
    }
}
