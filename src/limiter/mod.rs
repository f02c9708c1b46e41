//! What happens to a check: the deny cache and the circuit breaker first, then a batch, the store and the answer, within the
//! deadline. While the store is away the fallback decides, and the journal keeps its admissions for a replay.
//!
//! [`Remote`] is a state machine without I/O: it is handed the time and chance. [`Memory`] decides in the call.

mod availability;
mod batch;
mod circuit_breaker;
mod completer;
mod completion;
mod deny_cache;
mod fallback;
mod journal;
mod memory;
mod queue;
mod recovery;
mod remote;
mod shard;

use std::time::Duration;

pub use availability::StoreChange;
pub use completion::{Action, BatchId, Completion, Context, Output, RequestId};
pub use fallback::{Fallback, Local, OnStoreError};
pub use journal::{Claim, Journal};
pub use memory::Memory;
pub use queue::MAX_BATCH;
pub use remote::Remote;

pub use crate::store::{Answer, Source};

/// The bounds in time of a limiter over a store.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The time within which a request is answered.
    pub deadline: Duration,
    /// The longest time for which a denial is repeated without another request; zero turns the deny cache off.
    pub deny_cache: Duration,
}

impl From<Duration> for Times {
    /// A deadline, without a deny cache.
    fn from(deadline: Duration) -> Self {
        Self {
            deadline,
            deny_cache: Duration::ZERO,
        }
    }
}
