//! A limiter over a store that goes away and comes back.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};

use super::fake_stores::FlakyStore;
use super::simulation::{Setup, Simulation};

/// The deadline of its limiter.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// Longer than a recovery takes.
pub const RECOVERED: Duration = Duration::from_secs(20);

pub fn outage(policy: OnStoreError) -> Simulation<FlakyStore> {
    Setup::new(policy, DEADLINE).over(FlakyStore::default())
}

impl Simulation<FlakyStore> {
    /// Who decides.
    pub fn source(&mut self, op: Op, who: &str) -> Result<Source, ErrorKind> {
        let answer = self.ask(op, who, 5);
        answer.map(|a| a.source).map_err(|e| e.kind())
    }

    /// Fails until the breaker is open.
    pub fn go_away(&mut self) {
        self.store.away = true;
        for _ in 0..3 {
            let _ = self.source(Op::Check, "1");
        }
    }

    /// Checks until the store decides.
    pub fn come_back(&mut self) {
        self.store.away = false;
        let begun = self.elapsed();
        while self.source(Op::Check, "2") != Ok(Source::Redis) {
            assert!(self.elapsed() - begun < RECOVERED);
            self.run(Duration::from_millis(10));
        }
    }

    /// Lets time pass until `is_so`.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let begun = self.elapsed();
        while !is_so(self) {
            assert!(self.elapsed() - begun < RECOVERED);
            self.run(Duration::from_millis(10));
        }
    }
}
