//! The sliding-window log: the exact algorithm every store answers to.
//!
//! A log keeps the moment of each admission. A request at `now` is admitted when fewer than `limit` of them lie in
//! `(now − window, now]`. ("Sliding window log" in the literature; the approximate counters are not exact.)
//!
//! Admissions arrive in time order, so the log is a queue: the newest enters at the front, expired ones leave at the
//! back, and a check touches only the two ends, whatever the limit.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use super::{Decision, Millis, Quota, Verdict, Window};

/// The admissions of one id inside its window, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    admissions: VecDeque<Millis>,
}

impl Log {
    /// Asks for one slot at `now`: admits and records it, or denies and leaves the log as it was but for what expired.
    ///
    /// Should the clock have stepped back, `now` is earlier than the newest admission. The new one is then recorded at
    /// the newest's moment: the log stays sorted, and it is stricter than the clock, never looser.
    pub fn check(&mut self, now: Millis, quota: Quota) -> Decision {
        self.prune(now, quota.window);
        let limit = quota.limit.get() as usize;
        let verdict = match self.blocking(now, quota) {
            None => {
                let stamp = self.newest().map_or(now, |newest| newest.max(now));
                self.admissions.push_front(stamp);
                Verdict::Allowed
            }
            Some(retry_after) => Verdict::Denied { retry_after },
        };
        Decision {
            verdict,
            remaining: limit.saturating_sub(self.admissions.len()) as u32,
            reset: self.newest().unwrap_or(now) + quota.window.ms(),
        }
    }

    /// Where the id stands at `now`, with nothing recorded and nothing pruned.
    pub fn status(&self, now: Millis, quota: Quota) -> Decision {
        let live = self.live(now, quota.window);
        let newest = self.newest().filter(|_| live > 0);
        Decision {
            verdict: Verdict::Allowed,
            remaining: (quota.limit.get() as usize).saturating_sub(live) as u32,
            reset: newest.unwrap_or(now) + quota.window.ms(),
        }
    }

    /// The newest admission, expired or not.
    pub fn newest(&self) -> Option<Millis> {
        self.admissions.front().copied()
    }

    /// How many admissions are later than `moment`.
    pub fn since(&self, moment: Millis) -> usize {
        self.admissions.partition_point(|&t| t > moment)
    }

    fn live(&self, now: Millis, window: Window) -> usize {
        self.admissions.partition_point(|&t| t + window.ms() > now)
    }

    fn prune(&mut self, now: Millis, window: Window) {
        while self
            .admissions
            .back()
            .is_some_and(|&t| t + window.ms() <= now)
        {
            self.admissions.pop_back();
        }
        // A log that was full under a larger plan gives the memory back once it has drained.
        if self.admissions.capacity() > 32 && self.admissions.capacity() / 4 > self.admissions.len()
        {
            self.admissions.shrink_to(self.admissions.len() * 2);
        }
    }

    /// How long the admission that blocks the next one still counts. After a move to a smaller plan that is not the
    /// oldest: as many have to leave as bring the count below the limit, and the last of those is the `limit`-th newest.
    fn blocking(&self, now: Millis, quota: Quota) -> Option<NonZeroU64> {
        let blocking = *self.admissions.get(quota.limit.get() as usize - 1)?;
        NonZeroU64::new((blocking + quota.window.ms()).saturating_sub(now))
    }
}
