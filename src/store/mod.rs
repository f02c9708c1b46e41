//! Where logs live: the [`Store`] trait and its implementations, process memory and Redis.

mod answer;
pub(crate) mod async_budget;
pub(crate) mod budget;
mod error;
mod memory;
mod named_enum;
pub mod redis;

use std::future::Future;

use crate::quota::{Id, Limit, Millis, Namespace, Outcome, Rules};

pub use answer::{Answer, Source};
pub use error::{ErrorKind, StoreError};
pub use memory::{MAX_MEMORY_IDS, MemoryStore};
pub(crate) use named_enum::named_enum;

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Takes a slot. `remaining` and `reset` of the outcome mean nothing: the store does not read them.
    Check,
    /// Takes a slot, and returns the status of the id afterwards.
    Limit,
    /// Returns the status of the id and records nothing. The verdict of the outcome means nothing.
    Status,
    /// Deletes the log and tally of the id. The outcome is that of an unused id.
    Reset,
    /// Counts denials that were decided without the store: 1 to one more than the anomaly threshold, so that there is one
    /// report at most. The decision of the outcome means nothing.
    CountDenials(u32),
}

impl Op {
    /// Whether it takes a slot if it is admitted.
    pub(crate) fn takes_a_slot(self) -> bool {
        matches!(self, Self::Check | Self::Limit)
    }
}

/// One request to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The operation.
    pub op: Op,
    /// The id.
    pub id: Id,
    /// The limit of this request.
    pub limit: Limit,
}

/// What was decided about an id while the store was away. Moments are ages in ms, since the clocks differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The id.
    pub id: Id,
    /// How long ago the log was reset, if it was.
    pub reset: Option<Millis>,
    /// How long ago an anomaly was reported, if one was: it is not reported again.
    pub reported: Option<Millis>,
    /// How long ago each admission was made, newest first.
    pub ages: Vec<Millis>,
}

/// What all requests of one limiter have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The namespace of its keys.
    pub name: Namespace,
    /// Its window and anomaly rule.
    pub rules: Rules,
}

/// Where logs live. Every implementation decides as [`History`](crate::quota::History) does: one contract suite tests them all.
pub trait Store: Send + Sync + 'static {
    /// Decides `requests` in order. One result each: the error of one does not affect the others.
    fn run(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> impl Future<Output = Vec<Result<Outcome, StoreError>>> + Send;

    /// As [`run`](Self::run), and calls `on_results` with the results as they arrive: the indices of some requests, and a
    /// result each. Without indices: the shard has replied, if only with a redirect.
    fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        on_results: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) -> impl Future<Output = ()> + Send {
        async move {
            let results = self.run(scope, requests).await;
            let indices: Vec<_> = (0..requests.len()).collect();
            on_results(&indices, results);
        }
    }

    /// The number of the shard that holds the log of an id. Numbers are small and rarely change; a store that fails as a whole is
    /// one shard. [`run`](Self::run) finds the log whatever this returns: the number only isolates the failures of one shard from
    /// the others.
    fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        let _ = (scope, id);
        0
    }

    /// Host and port of the shard's primary. `None`: unknown.
    fn primary_of(&self, shard: usize) -> Option<String> {
        let _ = shard;
        None
    }

    /// Changes when the shard of an id may have changed.
    fn shard_map_version(&self) -> u64 {
        0
    }

    /// Whether the shard decides: one round trip that writes, as a check does, and changes no log.
    ///
    /// # Errors
    /// Why the shard does not decide.
    fn probe(
        &self,
        scope: &Scope,
        shard: usize,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (scope, shard);
        async { Ok(()) }
    }

    /// Waits until the shard has connected more than `known` times, and returns the new count. Never resolves for a store that
    /// cannot disconnect.
    fn connected(&self, shard: usize, known: u64) -> impl Future<Output = u64> + Send {
        let _ = (shard, known);
        std::future::pending()
    }

    /// Enters decisions of the time when the store was away into its logs. One result each, in order: an id that the store
    /// refuses does not mean that the store is away.
    ///
    /// # Errors
    /// Why no replay was entered.
    fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> impl Future<Output = Result<Vec<Result<(), StoreError>>, StoreError>> + Send {
        let _ = scope;
        let done = vec![Ok(()); replays.len()];
        async { Ok(done) }
    }

    /// As [`replay`](Self::replay), with the results as they arrive, as in [`run_streaming`](Self::run_streaming). A replay
    /// without a result when the future is dropped may have been entered.
    ///
    /// # Errors
    /// Why no replay was entered.
    fn replay_streaming(
        &self,
        scope: &Scope,
        replays: &[Replay],
        on_results: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move {
            let results = self.replay(scope, replays).await?;
            let indices: Vec<_> = (0..replays.len()).collect();
            on_results(&indices, results);
            Ok(())
        }
    }

    /// Calls `send`, which polls a [`run`](Self::run) about `id` for the first time, on any thread. The request has left the
    /// process when this returns. Returns `None` without calling `send` if the store is not ready for that.
    fn try_send<R>(&self, scope: &Scope, id: &Id, send: impl FnOnce() -> R) -> Option<R> {
        let _ = (scope, id, send);
        None
    }
}
