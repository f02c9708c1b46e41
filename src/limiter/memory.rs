//! A limiter that decides in memory, in the call itself.

use std::sync::Arc;

use crate::metrics::{Label, Metrics};
use crate::quota::Rules;
use crate::store::{Answer, MemoryStore, Request, Source};

/// A limiter that decides in memory.
pub struct Memory {
    rules: Rules,
    store: Arc<MemoryStore>,
    metrics: Arc<Metrics>,
}

impl Memory {
    /// A limiter with these rules over these logs.
    pub fn new(rules: Rules, store: Arc<MemoryStore>, metrics: Arc<Metrics>) -> Self {
        Self {
            rules,
            store,
            metrics,
        }
    }

    /// Answers a request. `label` is the caller's label for it.
    pub fn answer(&self, request: &Request, label: Label) -> Answer {
        let (outcome, now) = self.store.decide(self.rules, request);
        let answer = Answer {
            outcome,
            source: Source::Memory,
        };
        self.metrics
            .on_decision(request, label, &answer, now / 1000);
        answer
    }
}
