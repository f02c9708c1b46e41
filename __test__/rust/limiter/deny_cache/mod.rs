//! A limiter with a denied cache, and what reaches the store behind it. Both go by Tokio's clock, paused.

mod coalescing;
mod denial_counts;
mod invalidation;
mod lookup;

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{Answer, Limiter, OnStoreError, Source, Times};
use huntaze_rate_limit::quota::Rules;
use huntaze_rate_limit::store::{MAX_MEMORY_IDS, MemoryStore, Op};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::limiter::test_doubles::{
    Collector, Logged, Settled, TokioClock, collector, fallback, meter,
};
use crate::requests::{request, scope};

/// A limiter over a store in memory that logs what it is asked.
pub struct Way {
    pub limiter: Limiter<Collector>,
    pub answers: UnboundedReceiver<Settled>,
    pub store: Logged<MemoryStore<TokioClock>>,
    asked: u32,
}

impl Way {
    pub fn new(rules: Rules, deny_cache_ms: u64) -> Self {
        Self::with_deadline(rules, deny_cache_ms, Duration::from_secs(60))
    }

    pub fn with_deadline(rules: Rules, deny_cache_ms: u64, deadline: Duration) -> Self {
        let memory = MemoryStore::with_clock(TokioClock::new(), MAX_MEMORY_IDS);
        let store = Logged::over(Arc::new(memory));
        let (sink, answers) = collector();
        let times = Times {
            deadline,
            deny_cache: Duration::from_millis(deny_cache_ms),
        };
        let scope = scope("t", rules);
        let fallback = fallback(OnStoreError::Throw);
        let runtime = Handle::current();
        let limiter = Limiter::remote(
            &runtime,
            Arc::new(store.clone()),
            scope,
            times,
            fallback,
            sink,
            meter(),
        );
        Self {
            limiter,
            answers,
            store,
            asked: 0,
        }
    }

    pub async fn ask(&mut self, op: Op, who: &str, limit: u32) -> Answer {
        self.asked += 1;
        let ticket = self.asked;
        if let Some((_, answer)) = self.limiter.submit(request(op, who, limit), ticket) {
            return answer;
        }
        // What was counted ahead of it has the ticket of an earlier denial.
        loop {
            let (answered, answer) = self.answers.recv().await.unwrap();
            if answered == ticket {
                return answer.unwrap();
            }
        }
    }

    /// Asks `count` times and says how many were allowed and how many answered from the cache.
    pub async fn storm(&mut self, who: &str, limit: u32, count: u32) -> (u32, u32) {
        let (mut allowed, mut cached) = (0, 0);
        for _ in 0..count {
            let answer = self.ask(Op::Check, who, limit).await;
            allowed += u32::from(answer.outcome.decision.is_allowed());
            cached += u32::from(answer.source == Source::DenyCache);
        }
        (allowed, cached)
    }

    /// How many requests of `op` the store has seen.
    pub fn asked(&self, is: impl Fn(Op) -> bool) -> usize {
        self.store.ops().into_iter().filter(|&op| is(op)).count()
    }

    /// The denials that the store was told of.
    pub fn told(&self) -> u32 {
        let count = |op| match op {
            Op::Denied(count) => count,
            _ => 0,
        };
        self.store.ops().into_iter().map(count).sum()
    }
}
