//! Where logs live: process memory and Redis.

mod answer;
pub(crate) mod budget;
mod error;
mod memory;
mod named_enum;
pub mod redis;

use crate::quota::{Id, Limit, Millis, Namespace, Rules};

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
