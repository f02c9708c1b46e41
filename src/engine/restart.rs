//! A new beginning after a panic: its state means nothing any more, and no request may wait for ever.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::time::Moment;
use super::{Engine, Timer, Wish};
use crate::limiter::{Context, Output};
use crate::store::{ErrorKind, StoreError};

impl Engine {
    /// Answers every request in flight by the policy of its limiter, ends all connections and tests, and begins anew with the limiters
    /// that are open.
    pub fn restart(&mut self, now: Moment) {
        let stats = Arc::clone(&self.stats);
        let mut fresh = Self::new(self.config.clone(), stats, self.random.fork(), now);
        fresh.last_id = self.last_id;
        fresh.completions = std::mem::take(&mut self.completions);
        fresh.closed_limiters = std::mem::take(&mut self.closed_limiters);
        fresh.results = std::mem::take(&mut self.results);
        fresh.test_results = std::mem::take(&mut self.test_results);
        let passwords = self.password_requests.keys();
        let passwords = passwords.map(|&request| Wish::ForgetPassword { request });
        let connections = self.connections.keys();
        let connections = connections.map(|&connection| Wish::Close { connection });
        let pending = std::mem::take(&mut self.wishes).into_iter();
        let pending =
            pending.filter(|wish| matches!(wish, Wish::Close { .. } | Wish::ForgetPassword { .. }));
        fresh.wishes = pending
            .chain(passwords)
            .chain(connections)
            .collect::<VecDeque<_>>();
        for test in std::mem::take(&mut self.tests).into_keys() {
            let message = "the connection test was aborted";
            let error = StoreError::new(ErrorKind::Disconnected, message);
            fresh.test_results.push_back((test, Err(error)));
        }
        for (id, mut limiter) in std::mem::take(&mut self.limiters) {
            let mut out = Output::default();
            let mut context = Context {
                map: &fresh.map,
                now: now.steady,
                random: &mut fresh.random,
                out: &mut out,
            };
            // It may be the one that panics.
            let _ = catch_unwind(AssertUnwindSafe(|| limiter.remote.abort(&mut context)));
            if limiter.closing {
                fresh.closed_limiters.push_back(id);
            } else {
                limiter.remote = limiter.remote.restart(&mut context);
                limiter.calls.clear();
                limiter.timer = None;
                if let Some(at) = limiter.remote.next_timer() {
                    fresh.timers.set(&mut limiter.timer, at, Timer::Limiter(id));
                }
                fresh.limiters.insert(id, limiter);
            }
            // The actions were for connections that have ended.
            let completions = out.completions.into_iter();
            fresh.completions.extend(completions.map(|each| (id, each)));
        }
        *self = fresh;
    }
}
