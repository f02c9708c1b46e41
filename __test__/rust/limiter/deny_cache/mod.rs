//! The deny cache: a limiter with one, and the requests that reach the store behind it.

mod coalescing;
mod denial_counts;
mod invalidation;
mod lookup;

use std::time::Duration;

use huntaze_rate_limit::limiter::{Answer, OnStoreError, Source, Times};
use huntaze_rate_limit::quota::Rules;
use huntaze_rate_limit::store::Op;

use crate::limiter::fake_stores::Logged;
use crate::limiter::simulation::{Setup, Simulation};

pub type Cached = Simulation<Logged>;

/// A limiter over a store in memory that logs its requests.
pub fn caching(rules: Rules, deny_cache_ms: u64) -> Simulation<Logged> {
    caching_with_deadline(rules, deny_cache_ms, Duration::from_secs(60))
}

pub fn caching_with_deadline(
    rules: Rules,
    deny_cache_ms: u64,
    deadline: Duration,
) -> Simulation<Logged> {
    let setup = Setup {
        rules,
        times: Times {
            deadline,
            deny_cache: Duration::from_millis(deny_cache_ms),
        },
        ..Setup::new(OnStoreError::Throw, deadline)
    };
    setup.over_clock(|clock| Logged::new(clock, rules))
}

impl Simulation<Logged> {
    /// Asks, and waits for the answer.
    pub fn answer(&mut self, op: Op, who: &str, limit: u32) -> Answer {
        self.ask(op, who, limit).unwrap()
    }

    /// Checks `count` times. Returns how many were allowed, and how many were answered from the cache.
    pub fn burst(&mut self, who: &str, limit: u32, count: u32) -> (u32, u32) {
        let (mut allowed, mut hits) = (0, 0);
        for _ in 0..count {
            let answer = self.answer(Op::Check, who, limit);
            allowed += u32::from(answer.outcome.decision.is_allowed());
            hits += u32::from(answer.source == Source::DenyCache);
        }
        (allowed, hits)
    }

    /// How many requests with a matching operation have reached the store.
    pub fn asked(&self, matches: impl Fn(Op) -> bool) -> usize {
        let ops = self.store.ops().into_iter();
        ops.filter(|&op| matches(op)).count()
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
