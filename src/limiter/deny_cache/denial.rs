//! What is remembered of one id under one limit: its last denial, and the requests that wait for the next.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use tokio::time::Instant;

use crate::limiter::Pending;
use crate::quota::{Decision, Id, Limit, Millis, Verdict};
use crate::store::{Op, Request};

/// A denial by the store.
pub(super) struct Denial {
    /// Before that it is repeated without asking: there is no slot for sure.
    pub(super) until: Instant,
    /// Then there is one, for a caller who is alone.
    pub(super) promised: Instant,
    pub(super) reset: Millis,
    /// When that is, by the clock of this process.
    pub(super) reset_at: Instant,
    /// How many more may be answered from here. `None`: any number, and they are not counted.
    pub(super) remaining_uses: Option<u32>,
}

impl Denial {
    pub(super) fn decision(&self, now: Instant) -> Decision {
        // Rounded up, or the promise would be kept a moment too early.
        let ms_until = |moment: Instant| {
            let wait = moment.saturating_duration_since(now);
            wait.as_nanos().div_ceil(1_000_000) as Millis
        };
        let retry_after = ms_until(self.promised);
        Decision {
            verdict: Verdict::Denied {
                retry_after: NonZeroU64::new(retry_after).unwrap_or(NonZeroU64::MIN),
            },
            remaining: 0,
            reset: self.reset,
            reset_after: ms_until(self.reset_at).max(retry_after),
        }
    }
}

/// Requests of one id under one limit.
pub(super) struct Entry<T> {
    pub(super) limit: Limit,
    pub(super) denial: Denial,
    /// Answered from here and not sent to be counted yet.
    pub(super) denials: u32,
    /// Whether it is in the list of those to be counted.
    pub(super) queued: bool,
    pub(super) ticket: T,
    /// The store is being asked, since the denial may no longer be repeated.
    pub(super) refresh: Option<Refresh<T>>,
}

/// Requests that ask the store, and others that wait for their answer.
pub(super) struct Refresh<T> {
    /// An answer to a batch sent before then is of an earlier request.
    pub(super) since: Instant,
    /// How many ask, and how many may.
    pub(super) asked: usize,
    pub(super) allowed: usize,
    pub(super) waiting: VecDeque<Waiting<T>>,
}

/// A request that waits, and since when.
pub(super) struct Waiting<T> {
    pub(super) since: Instant,
    pub(super) pending: Pending<T>,
}

impl<T> Refresh<T> {
    /// One may ask.
    pub(super) fn begin(now: Instant) -> Self {
        Self {
            since: now,
            asked: 0,
            allowed: 1,
            waiting: VecDeque::new(),
        }
    }

    /// Whether one more may ask. It then counts as asking.
    pub(super) fn try_ask(&mut self) -> bool {
        let admits = self.asked < self.allowed;
        self.asked += usize::from(admits);
        admits
    }
}

impl<T: Clone> Entry<T> {
    /// Answers a request that was made at `asked`, and counts it where it is to be counted. `None`: the store has to be asked.
    pub(super) fn answer(&mut self, asked: Instant, now: Instant) -> Option<Decision> {
        if asked >= self.denial.until {
            return None;
        }
        if let Some(left) = &mut self.denial.remaining_uses {
            *left = left.checked_sub(1)?;
            self.denials = self.denials.saturating_add(1);
        }
        Some(self.denial.decision(now))
    }

    /// The request that counts what has been answered from here, if there is anything to count.
    pub(super) fn take_denials(&mut self, id: &Id) -> Option<(Request, T)> {
        let denials = std::mem::take(&mut self.denials);
        let request = Request {
            op: Op::Denied(denials),
            id: id.clone(),
            limit: self.limit,
        };
        (denials > 0).then(|| (request, self.ticket.clone()))
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.refresh
            .as_ref()
            .map_or(0, |asking| asking.waiting.len())
    }

    /// Whether there is something in it that is still needed.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.queued || self.refresh.is_some() || now < self.denial.until
    }
}
