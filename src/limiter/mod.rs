//! One check's way: into a batch, to the store and back within the deadline, or decided here when the store is away.

mod answer;
mod batch;
mod fallback;
mod flight;
mod lane;
mod launch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

pub use answer::{Answer, Delivery, Sink, Source};
pub use fallback::{Fallback, OnStoreError};
pub use lane::MAX_BATCH;

use self::batch::{Batcher, Intake};
use self::lane::Pending;
use crate::quota::Rules;
use crate::store::{MemoryStore, Request, Scope, Store};

/// A limiter over one store.
pub enum Limiter<K: Sink> {
    /// Decides in the call itself.
    Memory {
        /// The window and anomaly rule of its checks.
        rules: Rules,
        /// The logs.
        store: Arc<MemoryStore>,
    },
    /// Sends each request on its way; the answer reaches the sink.
    Remote(Remote<K>),
}

/// The way to a store that answers later.
pub struct Remote<K: Sink> {
    deadline: Duration,
    batcher: Box<dyn Intake<K::Ticket>>,
}

impl<K: Sink> Limiter<K> {
    /// A limiter that decides in memory.
    pub fn memory(rules: Rules, store: Arc<MemoryStore>) -> Self {
        Self::Memory { rules, store }
    }

    /// A limiter over `store`, which is asked on `runtime`. A request is answered within `deadline`, by `fallback` if
    /// need be.
    pub fn remote<S: Store>(
        runtime: &Handle,
        store: Arc<S>,
        scope: Scope,
        deadline: Duration,
        fallback: Fallback,
        sink: K,
    ) -> Self {
        let batcher = Box::new(Batcher::start(runtime, store, scope, fallback, sink));
        Self::Remote(Remote { deadline, batcher })
    }

    /// Asks. Answers in the call itself, with the request handed back, or returns `None` and answers through the sink,
    /// exactly once.
    pub fn submit(&self, request: Request, ticket: K::Ticket) -> Option<(Request, Answer)> {
        match self {
            Self::Memory { rules, store } => {
                let answer = Answer {
                    outcome: store.answer(*rules, &request),
                    source: Source::Memory,
                };
                Some((request, answer))
            }
            Self::Remote(remote) => {
                remote.batcher.push(Pending {
                    request,
                    ticket,
                    deadline: Instant::now() + remote.deadline,
                });
                None
            }
        }
    }
}
