//! What goes into a limiter over a store and what comes out of it: ids, actions for the engine, completions for the caller.

use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;

use super::availability::StoreChange;
use crate::metrics::Label;
use crate::quota::{Id, Limit};
use crate::store::redis::cluster::ShardMap;
use crate::store::{Answer, Replay, Request, StoreError};

/// Identifies a request of the caller in its completion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The caller's number for the request.
    pub slot: u32,
    /// The caller's label for the request, which metrics and anomalies carry.
    pub label: Label,
}

/// Identifies a script call of a limiter: a batch, a probe or a replay. Never used twice by one limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    pub(super) shard: u32,
    pub(super) number: u64,
}

/// What every call of a limiter is handed.
pub struct Context<'a> {
    /// The shards of the store as they are known now.
    pub map: &'a ShardMap,
    /// The current moment.
    pub now: Instant,
    /// Chance.
    pub random: &'a mut Rng,
    /// Takes actions and completions.
    pub out: &'a mut Output,
}

/// What a limiter wants done, and the answers it gives, each in order. A limiter only appends.
#[derive(Debug, Default)]
pub struct Output {
    /// For the engine.
    pub actions: Vec<Action>,
    /// For the caller.
    pub completions: Vec<Completion>,
}

/// What the engine is to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send checks, or counts of repeated denials.
    Send {
        /// Its id.
        batch: BatchId,
        /// At most [`MAX_BATCH`](super::MAX_BATCH).
        requests: Arc<[Request]>,
        /// The shard of their ids when they were submitted.
        shard: usize,
    },
    /// Ask whether the shard decides: a call that writes, as a check does, and changes no log.
    Probe {
        /// Its id.
        batch: BatchId,
        /// The shard.
        shard: usize,
    },
    /// Enter decisions of this process into the logs of the store.
    Replay {
        /// Its id.
        batch: BatchId,
        /// What to enter.
        replays: Arc<[Replay]>,
        /// The shard of their slots.
        shard: usize,
    },
    /// The deadline of this call has passed: nothing is done with its results any more.
    Abandon {
        /// Its id.
        batch: BatchId,
    },
}

/// A result for the caller: an answer, an anomaly, the end of a flush, or a change of the store.
#[derive(Debug, Clone)]
pub enum Completion {
    /// The answer to a request.
    Decided {
        /// The request.
        request_id: RequestId,
        /// Its answer.
        answer: Answer,
    },
    /// No answer to a request.
    Failed {
        /// The request.
        request_id: RequestId,
        /// Why there is none.
        error: StoreError,
    },
    /// An anomaly, after the answer to the request that reported it. A count of repeated denials may report one, too.
    Anomaly {
        /// The request. That of a count is that of the denial that was repeated.
        request_id: RequestId,
        /// The id.
        id: Id,
        /// Its limit.
        limit: Limit,
        /// The number of requests.
        requests: u32,
    },
    /// A flush has ended.
    Flushed {
        /// The id of the flush.
        request_id: RequestId,
    },
    /// The store is away for the limiter, or back.
    StoreChanged(StoreChange),
}
