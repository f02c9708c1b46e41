//! A denial that is remembered.

use std::num::NonZeroU64;

use tokio::time::Instant;

use crate::quota::{AnomalyRule, Decision, Id, Limit, Millis, Verdict};
use crate::store::{Op, Request};

/// What was said to an id, and how often it has been repeated.
pub(super) struct Denial<T> {
    pub(super) limit: Limit,
    /// Before that there is no slot for sure.
    pub(super) until: Instant,
    /// Then there is one, for a caller who is alone.
    pub(super) promised: Instant,
    pub(super) reset: Millis,
    /// Answered from here and not sent yet.
    pub(super) denials: u32,
    /// Whether the id is in the list of those to be counted.
    pub(super) listed: bool,
    /// How many more may be answered from here.
    pub(super) left: u32,
    /// The delivery that tells the asker.
    pub(super) delivery: u64,
    pub(super) ticket: T,
}

impl<T: Clone> Denial<T> {
    pub(super) fn decision(&self, now: Instant) -> Decision {
        let wait = self.promised.saturating_duration_since(now);
        // Rounded up, or the promise would be kept a moment too early.
        let retry_after = wait.as_nanos().div_ceil(1_000_000) as u64;
        Decision {
            verdict: Verdict::Denied {
                retry_after: NonZeroU64::new(retry_after).unwrap_or(NonZeroU64::MIN),
            },
            remaining: 0,
            reset: self.reset,
        }
    }

    /// Moves the denials to be counted into `counts`, in portions that report once at most.
    pub(super) fn take_denials(
        &mut self,
        id: &Id,
        rule: Option<AnomalyRule>,
        counts: &mut Vec<(Request, T)>,
    ) {
        let mut left = std::mem::take(&mut self.denials);
        let Some(rule) = rule else {
            return;
        };
        let portion = rule.threshold(self.limit).saturating_add(1);
        while left > 0 {
            let count = left.min(portion);
            left -= count;
            let request = Request {
                op: Op::Denied(count),
                id: id.clone(),
                limit: self.limit,
            };
            counts.push((request, self.ticket.clone()));
        }
    }
}
