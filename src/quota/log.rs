//! The sliding-window log: the exact algorithm that every store implements.
//!
//! A log keeps the moment of each admission. A request at `now` is admitted when fewer than `limit` of them lie in
//! `(now − window, now]`. ("Sliding window log" in the literature; the approximate counters are not exact.)
//!
//! Admissions arrive in time order, so the log is a queue: the newest enters at the front, expired ones leave at the
//! back, and a check touches only the two ends, whatever the limit.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use super::{Decision, MAX_WINDOW_MS, Millis, Quota, Verdict, Window};

/// The admissions of one id inside its window, newest first.
///
/// Each takes four bytes: the milliseconds since `base`. A log spans less than a window, of 31 days at most, and 32 bits
/// hold 49 days.
#[derive(Debug, Clone, Default)]
pub struct Log {
    base: Millis,
    admissions: VecDeque<u32>,
}

/// Compares the admissions, whatever their `base`.
impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.moments().eq(other.moments())
    }
}

impl Eq for Log {}

const _: () = assert!(MAX_WINDOW_MS < u32::MAX as Millis);

impl Log {
    /// Asks for one slot at `now`: admits and records the request, or denies it. Removes expired admissions.
    ///
    /// If the clock has stepped back, `now` is earlier than the newest admission. The new one is then recorded at the moment
    /// of the newest: the log stays sorted, and it is stricter than the clock, never looser.
    pub fn check(&mut self, now: Millis, quota: Quota) -> Decision {
        self.prune(now, quota.window);
        let limit = quota.limit.get() as usize;
        let verdict = match self.time_until_slot(now, quota) {
            None => {
                self.record(self.newest().map_or(now, |newest| newest.max(now)));
                Verdict::Allowed
            }
            Some(retry_after) => Verdict::Denied { retry_after },
        };
        let reset = self.newest().unwrap_or(now) + quota.window.ms();
        Decision {
            verdict,
            remaining: limit.saturating_sub(self.admissions.len()) as u32,
            reset,
            reset_after: reset - now,
        }
    }

    /// The status at `now`. Records and removes nothing.
    pub fn status(&self, now: Millis, quota: Quota) -> Decision {
        let live = self.live(now, quota.window);
        let newest = self.newest().filter(|_| live > 0);
        let reset = newest.unwrap_or(now) + quota.window.ms();
        Decision {
            verdict: Verdict::Allowed,
            remaining: (quota.limit.get() as usize).saturating_sub(live) as u32,
            reset,
            reset_after: reset - now,
        }
    }

    /// The newest admission, expired or not.
    pub fn newest(&self) -> Option<Millis> {
        self.get(0)
    }

    /// The number of admissions, of which some may have expired.
    pub fn len(&self) -> usize {
        self.admissions.len()
    }

    /// Whether there is no admission.
    pub fn is_empty(&self) -> bool {
        self.admissions.is_empty()
    }

    /// How many admissions are later than `moment`.
    pub fn count_after(&self, moment: Millis) -> usize {
        self.later_than(|t| t > moment)
    }

    fn live(&self, now: Millis, window: Window) -> usize {
        self.later_than(|t| t + window.ms() > now)
    }

    /// How many of the admissions, from the newest on, pass.
    fn later_than(&self, passes: impl Fn(Millis) -> bool) -> usize {
        self.admissions
            .partition_point(|&offset| passes(self.base + Millis::from(offset)))
    }

    /// The admissions, newest first; the last ones may have expired.
    pub fn moments(&self) -> impl Iterator<Item = Millis> {
        let offsets = self.admissions.iter();
        offsets.map(|&offset| self.base + Millis::from(offset))
    }

    fn get(&self, index: usize) -> Option<Millis> {
        let offset = *self.admissions.get(index)?;
        Some(self.base + Millis::from(offset))
    }

    fn record(&mut self, moment: Millis) {
        if self.admissions.is_empty() {
            self.base = moment;
        } else if moment - self.base > Millis::from(u32::MAX) {
            self.rebase();
        }
        self.admissions.push_front((moment - self.base) as u32);
    }

    /// Weeks have passed since `base`. All admissions are later, and within less than a window of each other.
    fn rebase(&mut self) {
        let oldest = self.admissions.back().copied().unwrap_or_default();
        self.base += Millis::from(oldest);
        for offset in &mut self.admissions {
            *offset -= oldest;
        }
    }

    fn prune(&mut self, now: Millis, window: Window) {
        while let Some(&oldest) = self.admissions.back()
            && self.base + Millis::from(oldest) + window.ms() <= now
        {
            self.admissions.pop_back();
        }
        // A log that was full under a larger limit gives the memory back once it has drained.
        if self.admissions.capacity() > 32 && self.admissions.capacity() / 4 > self.admissions.len()
        {
            self.admissions.shrink_to(self.admissions.len() * 2);
        }
    }

    /// The time until a slot is free: until the `limit`-th newest admission expires, since fewer than the limit are newer. Under a
    /// lowered limit that is not the oldest one.
    fn time_until_slot(&self, now: Millis, quota: Quota) -> Option<NonZeroU64> {
        let blocking = self.get(quota.limit.get() as usize - 1)?;
        NonZeroU64::new((blocking + quota.window.ms()).saturating_sub(now))
    }
}
