//! The deny cache: a limiter with one, and the requests that reach the store behind it. Both use Tokio's clock, paused.

mod coalescing;
mod denial_counts;
mod invalidation;
mod lookup;

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Answer, Limiter, OnStoreError, Source, Times};
use huntaze_rate_limit::quota::Rules;
use huntaze_rate_limit::store::{MAX_MEMORY_IDS, MemoryStore, Op};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::old_limiter::test_doubles::{
    Collector, Logged, Settled, TokioClock, collector, fallback, metrics,
};
use crate::requests::{request, scope};

/// A limiter over a store in memory that logs its requests.
pub struct CachedLimiter {
    pub limiter: Limiter<Collector>,
    pub answers: UnboundedReceiver<Settled>,
    pub store: Logged<MemoryStore<TokioClock>>,
    asked: u32,
}

impl CachedLimiter {
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
            metrics(),
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
        let request_id = self.asked;
        if let Some((_, answer)) = self.limiter.submit(request(op, who, limit), request_id) {
            return answer;
        }
        // Denials that are counted ahead of it have the request id of an earlier denial.
        loop {
            let (answered, answer) = self.answers.recv().await.unwrap();
            if answered == request_id {
                return answer.unwrap();
            }
        }
    }

    /// Checks `count` times. Returns how many were allowed, and how many were answered from the cache.
    pub async fn burst(&mut self, who: &str, limit: u32, count: u32) -> (u32, u32) {
        let (mut allowed, mut hits) = (0, 0);
        for _ in 0..count {
            let answer = self.ask(Op::Check, who, limit).await;
            allowed += u32::from(answer.outcome.decision.is_allowed());
            hits += u32::from(answer.source == Source::DenyCache);
        }
        (allowed, hits)
    }

    /// How many requests with a matching operation have reached the store.
    pub fn asked(&self, matches: impl Fn(Op) -> bool) -> usize {
        self.store
            .ops()
            .into_iter()
            .filter(|&op| matches(op))
            .count()
    }

    /// The denials that the store has counted.
    pub fn counted(&self) -> u32 {
        let count = |op| match op {
            Op::CountDenials(count) => count,
            _ => 0,
        };
        self.store.ops().into_iter().map(count).sum()
    }
}
