//! Denials that need no second question: the denied cache.
//!
//! A denial with `w` ms to go cannot become an admission before those have passed on the store's clock, unless the id is
//! reset. The store decided after the request was sent, so from the sending on, `w` ms of this process's clock are never
//! too many. Until then, and no longer than the cache's age limit (which bounds how late a reset elsewhere is seen), the
//! same question has the same answer, in the caller's thread.
//!
//! The promise is counted from when the answer came: a caller who returns at the promised moment finds a slot. Another
//! limit is another question: under a larger one there may be a slot, and under a smaller one it frees later than this
//! promise would say.
//!
//! What is answered here still counts towards anomalies: it is sent with the id's next request, or at the next sweep. The
//! store says with a denial how many more would be an anomaly, at the least: the one that may be it is not answered here,
//! so that it is reported with its own answer.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::quota::{AnomalyRule, Decision, Id, Limit, Millis, Outcome, Verdict};
use crate::store::{Op, Request};

/// The most ids it holds; more are asked about each time. With ids of the longest kind these are 5 MB.
const MAX_IDS: usize = 10_000;

/// How often what was answered here is sent: it counts within a second, round trip included.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// Denials of one limiter.
pub(super) struct Denied<T> {
    max_age: Duration,
    rule: Option<AnomalyRule>,
    state: Mutex<State<T>>,
}

struct State<T> {
    entries: HashMap<Id, Entry<T>>,
    /// Counts resets, so that no denial from before one is remembered after it.
    epoch: u64,
}

struct Entry<T> {
    limit: Limit,
    /// Before that there is no slot for sure.
    until: Instant,
    /// Then there is one, for a caller who is alone.
    promised: Instant,
    reset: Millis,
    /// Answered from here and not sent yet.
    denials: u32,
    /// How many more may be answered from here.
    left: u32,
    ticket: T,
}

/// What is known about a request without asking.
pub(super) enum Known<T> {
    /// It is denied.
    Denial(Decision),
    /// Nothing; and these denials, answered from here, are to be counted first.
    Nothing(Vec<(Request, T)>),
}

/// When a batch was sent, and in which epoch.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    at: Instant,
    epoch: u64,
}

impl<T: Clone> Denied<T> {
    /// Remembers a denial for `max_age` at most; zero: never.
    pub(super) fn new(max_age: Duration, rule: Option<AnomalyRule>) -> Self {
        Self {
            max_age,
            rule,
            state: Mutex::new(State {
                entries: HashMap::new(),
                epoch: 0,
            }),
        }
    }

    /// Looks a request up. A request for a slot that is denied here is counted; a reset forgets the id.
    pub(super) fn look(&self, request: &Request, now: Instant) -> Known<T> {
        let mut state = self.lock();
        match request.op {
            Op::Check | Op::Limit => {}
            Op::Reset => {
                state.forget(&request.id);
                return Known::Nothing(Vec::new());
            }
            Op::Status | Op::Denied(_) => return Known::Nothing(Vec::new()),
        }
        let Some(entry) = state.entries.get_mut(&request.id) else {
            return Known::Nothing(Vec::new());
        };
        if entry.limit == request.limit && now < entry.until && entry.left > 0 {
            entry.denials = entry.denials.saturating_add(1);
            entry.left -= 1;
            return Known::Denial(entry.decision(now));
        }
        let mut counts = Vec::new();
        entry.take_denials(&request.id, self.rule, &mut counts);
        if now >= entry.until || entry.left == 0 {
            state.entries.remove(&request.id);
        }
        Known::Nothing(counts)
    }

    /// A batch is being sent.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            at: Instant::now(),
            epoch: self.lock().epoch,
        }
    }

    /// Remembers what a batch that was sent then has been answered now. Returns whether it has something to sweep.
    pub(super) fn learn<'a>(
        &self,
        sent: Sent,
        answered: impl Iterator<Item = (&'a Request, T, Outcome)>,
    ) -> bool {
        if self.max_age.is_zero() {
            return false;
        }
        let received = Instant::now();
        let mut state = self.lock();
        for (request, ticket, outcome) in answered {
            match (request.op, outcome.decision.verdict) {
                (Op::Reset, _) => state.forget(&request.id),
                (Op::Check | Op::Limit, Verdict::Denied { retry_after })
                    if sent.epoch == state.epoch =>
                {
                    let wait = Duration::from_millis(retry_after.get());
                    let left = match (self.rule, outcome.anomaly) {
                        (None, _) => u32::MAX,
                        // It has just been reported, and the count begins anew.
                        (Some(rule), Some(_)) => rule.threshold(request.limit),
                        (Some(_), None) => outcome.until_anomaly.unwrap_or(0).saturating_sub(1),
                    };
                    let Some(promised) = received.checked_add(wait).filter(|_| left > 0) else {
                        continue;
                    };
                    let entry = Entry {
                        limit: request.limit,
                        until: sent.at + wait.min(self.max_age),
                        promised,
                        reset: outcome.decision.reset,
                        denials: 0,
                        left,
                        ticket,
                    };
                    state.remember(&request.id, entry);
                }
                _ => {}
            }
        }
        !state.entries.is_empty()
    }

    /// Forgets what is too old, or everything, and returns what is to be counted; and whether there is more to sweep.
    pub(super) fn sweep(&self, now: Instant, everything: bool) -> (Vec<(Request, T)>, bool) {
        let mut counts = Vec::new();
        let mut state = self.lock();
        state.entries.retain(|id, entry| {
            entry.take_denials(id, self.rule, &mut counts);
            now < entry.until && !everything
        });
        (counts, !state.entries.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the entries are being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn forget(&mut self, id: &Id) {
        self.epoch += 1;
        self.entries.remove(id);
    }

    fn remember(&mut self, id: &Id, mut entry: Entry<T>) {
        if let Some(known) = self.entries.get_mut(id) {
            entry.denials = known.denials;
            *known = entry;
        } else if self.entries.len() < MAX_IDS {
            self.entries.insert(id.clone(), entry);
        }
    }
}

impl<T: Clone> Entry<T> {
    fn decision(&self, now: Instant) -> Decision {
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
    fn take_denials(&mut self, id: &Id, rule: Option<AnomalyRule>, counts: &mut Vec<(Request, T)>) {
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
