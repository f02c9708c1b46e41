//! What happens to a check: the deny cache and the circuit breaker first, then a batch, the store and the answer, within the
//! deadline. While the store is away the fallback decides, and the journal keeps its admissions for a replay.

mod availability;
mod batch;
mod circuit_breaker;
mod completion;
mod deny_cache;
mod fallback;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use availability::StoreChange;
pub use batch::MAX_BATCH;
pub use completion::{Completion, CompletionSink};
pub use fallback::{Fallback, Local, OnStoreError};
pub use journal::Journal;

pub use crate::store::{Answer, Source};

use self::availability::Availability;
use self::batch::{Batcher, Intake, Pending, Settler};
use crate::metrics::Metrics;
use crate::quota::Rules;
use crate::store::{MemoryStore, Request, Scope, Store};

/// A limiter over one store.
pub enum Limiter<K: CompletionSink> {
    /// Decides in the call itself.
    Memory {
        /// The window and the anomaly rule of its checks.
        rules: Rules,
        /// The logs.
        store: Arc<MemoryStore>,
        /// Its metrics.
        metrics: Arc<Metrics>,
    },
    /// Sends requests to a store; the answers reach the sink.
    Remote(Remote<K>),
}

/// A limiter over a store that answers later.
pub struct Remote<K: CompletionSink>(Box<dyn Intake<K::RequestId>>);

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

impl<K: CompletionSink> Limiter<K> {
    /// A limiter that decides in memory.
    pub fn memory(rules: Rules, store: Arc<MemoryStore>, metrics: Arc<Metrics>) -> Self {
        Self::Memory {
            rules,
            store,
            metrics,
        }
    }

    /// A limiter over `store`, which runs on `runtime`. A request is answered within its deadline, by `fallback` if the store
    /// does not answer.
    pub fn remote<S: Store>(
        runtime: &Handle,
        store: Arc<S>,
        scope: Scope,
        times: impl Into<Times>,
        fallback: Fallback,
        sink: K,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (sharded, shard_scope) = (Arc::clone(&store), scope.clone());
        let named = Arc::clone(&store);
        let settler = Settler {
            fallback,
            sink,
            metrics,
            shard_of: Box::new(move |id| sharded.shard_of(&shard_scope, id)),
            primary_of: Box::new(move |shard| named.primary_of(shard)),
            availability: Availability::default(),
        };
        let batcher = Batcher::start(runtime, store, scope, times.into(), settler);
        Self::Remote(Remote(Box::new(batcher)))
    }

    /// Submits a request. It is answered exactly once: in the call, which then returns the request and its answer, or through
    /// the sink.
    pub fn submit(&self, request: Request, request_id: K::RequestId) -> Option<(Request, Answer)> {
        match self {
            Self::Memory {
                rules,
                store,
                metrics,
            } => {
                let (outcome, now) = store.decide(*rules, &request);
                let source = Source::Memory;
                let answer = Answer { outcome, source };
                metrics.on_decision(&request, K::label(&request_id), &answer, now / 1000);
                Some((request, answer))
            }
            Self::Remote(Remote(intake)) => intake.take(request, request_id),
        }
    }

    /// Sends the counts of denials that the deny cache has answered. `true`: the sink's `flushed` is called with `request_id` when
    /// the store has counted them, or when their deadline has passed. `false`: there is nothing to wait for.
    pub fn flush(&self, request_id: K::RequestId) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Remote(Remote(intake)) => intake.flush(request_id),
        }
    }
}
