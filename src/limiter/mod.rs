//! One check's way: past the denied cache and the breaker, into a batch, to the store and back within the deadline; or
//! decided here when the store is away, and noted in the journal until the store has been told.

mod availability;
mod batch;
pub mod circuit_breaker;
mod completion;
mod deny_cache;
mod fallback;
mod journal;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

pub use availability::StoreChange;
pub use batch::{MAX_BATCH, MAX_WAITING};
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
        /// The window and anomaly rule of its checks.
        rules: Rules,
        /// The logs.
        store: Arc<MemoryStore>,
        /// What is counted.
        meter: Arc<Metrics>,
    },
    /// Sends each request on its way; the answer reaches the sink.
    Remote(Remote<K>),
}

/// The way to a store that answers later.
pub struct Remote<K: CompletionSink>(Box<dyn Intake<K::RequestId>>);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Within this time a request is answered.
    pub deadline: Duration,
    /// The longest time a denial is answered without asking again; zero: never.
    pub deny_cache: Duration,
}

impl From<Duration> for Times {
    /// A deadline, and no denied cache.
    fn from(deadline: Duration) -> Self {
        Self {
            deadline,
            deny_cache: Duration::ZERO,
        }
    }
}

impl<K: CompletionSink> Limiter<K> {
    /// A limiter that decides in memory.
    pub fn memory(rules: Rules, store: Arc<MemoryStore>, meter: Arc<Metrics>) -> Self {
        Self::Memory {
            rules,
            store,
            meter,
        }
    }

    /// A limiter over `store`, which is asked on `runtime`. A request is answered within its deadline, by `fallback` if
    /// need be.
    pub fn remote<S: Store>(
        runtime: &Handle,
        store: Arc<S>,
        scope: Scope,
        times: impl Into<Times>,
        fallback: Fallback,
        sink: K,
        meter: Arc<Metrics>,
    ) -> Self {
        let (asked, known) = (Arc::clone(&store), scope.clone());
        let placed = Arc::clone(&store);
        let settler = Settler {
            fallback,
            sink,
            meter,
            shard_of: Box::new(move |id| asked.shard_of(&known, id)),
            primary_of: Box::new(move |shard| placed.primary_of(shard)),
            availability: Availability::default(),
        };
        let batcher = Batcher::start(runtime, store, scope, times.into(), settler);
        Self::Remote(Remote(Box::new(batcher)))
    }

    /// Asks. Answers in the call itself, with the request handed back, or returns `None` and answers through the sink,
    /// exactly once.
    pub fn submit(&self, request: Request, ticket: K::RequestId) -> Option<(Request, Answer)> {
        match self {
            Self::Memory {
                rules,
                store,
                meter,
            } => {
                let (outcome, now) = store.decide(*rules, &request);
                let source = Source::Memory;
                let answer = Answer { outcome, source };
                meter.on_decision(&request, K::label(&ticket), &answer, now / 1000);
                Some((request, answer))
            }
            Self::Remote(Remote(intake)) => intake.take(request, ticket),
        }
    }

    /// Sends on its way what the denied cache has answered and the store has not counted yet. `true`: the sink is told of
    /// `ticket` when that has been done, or has taken as long as a request may. `false`: there is nothing to wait for.
    pub fn flush(&self, ticket: K::RequestId) -> bool {
        match self {
            Self::Memory { .. } => false,
            Self::Remote(Remote(intake)) => intake.flush(ticket),
        }
    }
}
