//! Where logs live: one port, and a tenant for each place.

mod answer;
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

/// What is asked about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// One slot. The answer's `remaining` and `reset` are not looked up and mean nothing.
    Check,
    /// One slot, and where the id stands afterwards.
    Limit,
    /// Where the id stands; nothing is recorded. The answer's verdict means nothing.
    Status,
    /// To forget the id's log and tally. The answer says the id is unused.
    Reset,
    /// To count so many denials that were decided without the store (1 to one more than the anomaly threshold: it reports
    /// once at most). The answer's decision means nothing.
    Denied(u32),
}

impl Op {
    /// Whether it is a check.
    pub(crate) fn takes_a_slot(self) -> bool {
        matches!(self, Self::Check | Self::Limit)
    }
}

/// One question to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub op: Op,
    /// About whom.
    pub id: Id,
    /// The limit it is asked under: the plan's, or the check's own.
    pub limit: Limit,
}

/// What has been decided about an id while the store was away. Moments are told as ages, in ms: the clocks differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// About whom.
    pub id: Id,
    /// How long ago the log was forgotten, if it was.
    pub reset: Option<Millis>,
    /// How long ago its anomaly was reported, if one was: then it is not reported again.
    pub reported: Option<Millis>,
    /// How long ago each admission was made, newest first.
    pub ages: Vec<Millis>,
}

/// What all requests of one limiter share.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The namespace of its keys.
    pub name: Namespace,
    /// Its window and anomaly rule.
    pub rules: Rules,
}

/// The port. Every tenant answers as [`History`](crate::quota::History) does; the contract suite holds them to it.
pub trait Store: Send + Sync + 'static {
    /// Answers `requests` in order, one result each: an error leaves its neighbours alone.
    fn run(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> impl Future<Output = Vec<Result<Outcome, StoreError>>> + Send;

    /// The same, and `land` is given the results as they arrive: the indices of some requests, and a result each. No indices:
    /// the shard has replied, if only with a redirection.
    fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        land: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) -> impl Future<Output = ()> + Send {
        async move {
            let results = self.run(scope, requests).await;
            let places: Vec<_> = (0..requests.len()).collect();
            land(&places, results);
        }
    }

    /// The number of the shard that holds an id's log. Numbers are small and rarely change; a store that fails as a whole is one
    /// shard. [`run`](Self::run) finds the log whatever this returns: it only isolates the failures of one shard from the others.
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

    /// Whether the shard decides: one round trip that writes, as a check does, and changes nothing.
    ///
    /// # Errors
    /// Why it does not.
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

    /// Enters what was decided while it was away into its logs. One result each, in order: what it does not take of one id is
    /// no sign that it is away.
    ///
    /// # Errors
    /// Why it takes nothing.
    fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> impl Future<Output = Result<Vec<Result<(), StoreError>>, StoreError>> + Send {
        let _ = scope;
        let done = vec![Ok(()); replays.len()];
        async { Ok(done) }
    }

    /// The same, and the results are given to `land` as they come, as in [`run_in_pieces`](Self::run_streaming). What has not
    /// been given to it when this is dropped may have been entered.
    ///
    /// # Errors
    /// Why it takes nothing.
    fn replay_streaming(
        &self,
        scope: &Scope,
        replays: &[Replay],
        land: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move {
            let results = self.replay(scope, replays).await?;
            let places: Vec<_> = (0..replays.len()).collect();
            land(&places, results);
            Ok(())
        }
    }

    /// Calls `send`, which takes the first step of a [`run`](Self::run) about `id` on any thread, such that what it sends has
    /// left when this returns. `None`, and `send` is not called, where the store is not ready for that.
    fn try_send<R>(&self, scope: &Scope, id: &Id, send: impl FnOnce() -> R) -> Option<R> {
        let _ = (scope, id, send);
        None
    }
}
