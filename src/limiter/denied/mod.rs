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
//! Only a denial that the asker has been told of is repeated here. What is asked in one burst goes to the store as a whole,
//! as if there were no cache, however soon the first of it is denied.
//!
//! What is answered here still counts towards anomalies: it is sent ahead of the id's next request, or at the next sweep.
//! The store says with a denial how many more would be an anomaly, at the least: the one that may be it is not answered
//! here, so that it is reported with its own answer. (A count may cross instead where several processes deny an id, or
//! while it is under way.)

mod denial;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::denial::Denial;
use crate::quota::{AnomalyRule, Decision, Id, Outcome, Verdict};
use crate::store::{Op, Request};

/// The most ids it holds; more are asked about each time. With ids of the longest kind these are 5 MB.
const MAX_IDS: usize = 10_000;

/// How often what was answered here becomes due to be counted: it counts within a second, if all of it has arrived half a
/// second later.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// Denials of one limiter.
pub(super) struct Denied<T> {
    max_age: Duration,
    rule: Option<AnomalyRule>,
    state: Mutex<State<T>>,
}

struct State<T> {
    entries: HashMap<Id, Denial<T>>,
    /// Ids with denials to be counted, in the order of the first. An id may be gone or have been counted since.
    uncounted: VecDeque<Id>,
    /// How many of these are due.
    due: usize,
    /// Due at once: their entries have made way for others.
    displaced: Vec<(Request, T)>,
    /// Counts resets and replays, so that no denial from before one is remembered after it. One count for all ids: they are
    /// rare, and what is under way meanwhile is only asked once more.
    epoch: u64,
    /// When the last denial from before one has come. What was in flight then may have been decided before it.
    outdated: Option<Instant>,
}

/// What is known about a request without asking.
pub(super) enum Known<T> {
    /// It is denied.
    Denial(Decision),
    /// Nothing; and these denials, answered from here, are to be counted first.
    Nothing(Vec<(Request, T)>),
}

/// A batch that has been answered: when it was sent, when the answer came, and the delivery that tells the asker.
#[derive(Clone, Copy)]
pub(super) struct Answered {
    pub(super) sent: Sent,
    pub(super) received: Instant,
    pub(super) delivery: u64,
}

/// When a batch was sent, and in which epoch.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
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
                uncounted: VecDeque::new(),
                due: 0,
                displaced: Vec::new(),
                epoch: 0,
                outdated: None,
            }),
        }
    }

    /// Looks a request up. A request for a slot that is denied here is counted. `seen` says whether the asker has been told of
    /// a delivery.
    pub(super) fn look(
        &self,
        request: &Request,
        now: Instant,
        seen: impl Fn(u64) -> bool,
    ) -> Known<T> {
        let mut state = self.lock();
        let state = &mut *state;
        match request.op {
            Op::Check | Op::Limit => {}
            Op::Reset | Op::Status | Op::Denied(_) => return Known::Nothing(Vec::new()),
        }
        let Some(entry) = state.entries.get_mut(&request.id) else {
            return Known::Nothing(Vec::new());
        };
        let may_answer = now < entry.until && entry.left > 0;
        if may_answer && entry.limit == request.limit && seen(entry.delivery) {
            if entry.denials == 0 && !std::mem::replace(&mut entry.listed, self.rule.is_some()) {
                state.uncounted.push_back(request.id.clone());
            }
            entry.denials = entry.denials.saturating_add(1);
            entry.left -= 1;
            return Known::Denial(entry.decision(now));
        }
        let mut counts = Vec::new();
        entry.take_denials(&request.id, self.rule, &mut counts);
        if !may_answer {
            state.entries.remove(&request.id);
        }
        Known::Nothing(counts)
    }

    /// Forgets an id: it is being reset.
    pub(super) fn forget(&self, id: &Id) {
        self.lock().forget(id);
    }

    /// A batch is being sent.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            at: Instant::now(),
            epoch: self.lock().epoch,
        }
    }

    /// Remembers what a batch has been answered. No outcome: nobody knows whether it was done. Returns whether there is
    /// something to sweep.
    pub(super) fn learn<'a>(
        &self,
        batch: Answered,
        answered: impl Iterator<Item = (&'a Request, &'a T, Option<Outcome>)>,
    ) -> bool
    where
        T: 'a,
    {
        if self.max_age.is_zero() {
            return false;
        }
        let mut state = self.lock();
        for (request, ticket, outcome) in answered {
            match (request.op, outcome) {
                (Op::Reset, _) => state.forget(&request.id),
                (Op::Check | Op::Limit, Some(outcome)) => {
                    let Some(entry) = self.entry(batch, request, ticket, outcome) else {
                        continue;
                    };
                    if batch.sent.epoch != state.epoch {
                        state.outdated = Some(batch.received);
                    }
                    if state.outdated.is_none_or(|at| batch.sent.at > at) {
                        state.remember(&request.id, entry, batch.received, self.rule);
                    } else {
                        state.expire_if_earlier(&request.id, &entry, batch.received);
                    }
                }
                _ => {}
            }
        }
        !state.entries.is_empty()
    }

    /// What there is to remember of an answer.
    fn entry(
        &self,
        batch: Answered,
        request: &Request,
        ticket: &T,
        outcome: Outcome,
    ) -> Option<Denial<T>> {
        let Verdict::Denied { retry_after } = outcome.decision.verdict else {
            return None;
        };
        let wait = Duration::from_millis(retry_after.get());
        let left = match (self.rule, outcome.anomaly) {
            (None, _) => u32::MAX,
            // It has just been reported, and the count begins anew.
            (Some(rule), Some(_)) => rule.threshold(request.limit),
            (Some(_), None) => outcome.until_anomaly.unwrap_or(0).saturating_sub(1),
        };
        Some(Denial {
            limit: request.limit,
            until: batch.sent.at + wait.min(self.max_age),
            promised: batch.received.checked_add(wait)?,
            reset: outcome.decision.reset,
            denials: 0,
            listed: false,
            left,
            delivery: batch.delivery,
            ticket: ticket.clone(),
        })
    }

    /// Forgets what is too old. What was answered so far is due to be counted. Returns whether there is more to sweep.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.due = state.uncounted.len();
        state
            .entries
            .retain(|_, entry| entry.listed || now < entry.until);
        !state.entries.is_empty()
    }

    /// Answers no more from what it holds: the store has heard of more admissions, and the promises may be too early.
    pub(super) fn doubt(&self, now: Instant) {
        let mut state = self.lock();
        // What is under way may have been denied before, and be answered after.
        state.epoch += 1;
        for entry in state.entries.values_mut() {
            entry.until = entry.until.min(now);
        }
    }

    /// Takes up to `most` counts that are due.
    pub(super) fn take_counts(&self, most: usize, now: Instant) -> Vec<(Request, T)> {
        let mut state = self.lock();
        let state = &mut *state;
        let at_once = state.displaced.len().min(most);
        let mut counts: Vec<_> = state.displaced.drain(..at_once).collect();
        while counts.len() < most && state.due > 0 {
            state.due -= 1;
            let Some(id) = state.uncounted.pop_front() else {
                break;
            };
            let Some(entry) = state.entries.get_mut(&id) else {
                continue;
            };
            entry.listed = false;
            entry.take_denials(&id, self.rule, &mut counts);
            if now >= entry.until {
                state.entries.remove(&id);
            }
        }
        counts
    }

    /// Forgets the counts that are due: the store is away.
    pub(super) fn drop_counts(&self) {
        while !self.take_counts(MAX_IDS, Instant::now()).is_empty() {}
    }

    /// Whether something is due to be counted.
    pub(super) fn is_due(&self) -> bool {
        let state = self.lock();
        state.due > 0 || !state.displaced.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the entries are being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> State<T> {
    fn forget(&mut self, id: &Id) {
        self.epoch += 1;
        self.entries.remove(id);
        self.displaced.retain(|(request, _)| request.id != *id);
    }

    /// A denial that is not remembered may still have been decided last: an entry with an earlier retry time expires.
    fn expire_if_earlier(&mut self, id: &Id, denial: &Denial<T>, now: Instant) {
        if let Some(known) = self.entries.get_mut(id)
            && known.limit == denial.limit
            && known.promised < denial.promised
        {
            known.until = known.until.min(now);
        }
    }

    /// A denial takes the place of the one before, also where it cannot be repeated: the moment that the one before promises
    /// may be too early by now.
    fn remember(&mut self, id: &Id, mut entry: Denial<T>, now: Instant, rule: Option<AnomalyRule>) {
        let Some(known) = self.entries.get_mut(id) else {
            if self.entries.len() < MAX_IDS {
                self.entries.insert(id.clone(), entry);
            }
            return;
        };
        entry.listed = known.listed;
        if known.limit == entry.limit {
            // The store has not heard of these yet.
            entry.denials = known.denials;
            entry.left = entry.left.saturating_sub(known.denials);
            // Of two batches in flight, the one that was decided first may be answered last. Neither moment is too late.
            if now < known.until {
                entry.until = entry.until.max(known.until);
                entry.promised = entry.promised.max(known.promised);
            }
        } else {
            known.take_denials(id, rule, &mut self.displaced);
        }
        *known = entry;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::quota::{Limit, Window};

    /// A check of an id, and the answer that there is a slot in so many ms.
    fn learn(denied: &Denied<u32>, sent: Sent, wait: u64) {
        let request = check();
        let outcome = Outcome {
            until_anomaly: Some(10),
            ..Outcome::of(Decision {
                verdict: Verdict::Denied {
                    retry_after: NonZeroU64::new(wait).expect("not now"),
                },
                remaining: 0,
                reset: 0,
            })
        };
        let batch = Answered {
            sent,
            received: Instant::now(),
            delivery: 0,
        };
        denied.learn(batch, [(&request, &0, Some(outcome))].into_iter());
    }

    fn check() -> Request {
        Request {
            op: Op::Check,
            id: Id::new("id").expect("an id"),
            limit: Limit::literal(1),
        }
    }

    fn promised(denied: &Denied<u32>) -> Option<u64> {
        match denied.look(&check(), Instant::now(), |_| true) {
            Known::Denial(decision) => Some(decision.retry_after_ms()),
            Known::Nothing(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_promised_moment_does_not_move_earlier_whatever_is_answered_last() {
        let denied = Denied::new(Duration::from_secs(1), None);
        let (first, second) = (denied.sent(), denied.sent());
        learn(&denied, second, 900);
        assert_eq!(promised(&denied), Some(900));
        learn(&denied, first, 300);
        assert_eq!(promised(&denied), Some(900));
        // It is not held back for longer than the later of the two says.
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!(promised(&denied), None);
        learn(&denied, denied.sent(), 300);
        assert_eq!(promised(&denied), Some(300));
    }

    /// Whichever is answered first: the old one was in flight while another process replayed its own admissions into the store.
    #[tokio::test(start_paused = true)]
    async fn nothing_earlier_is_promised_after_a_denial_from_before_a_replay() {
        for old_is_first in [false, true] {
            let denied = Denied::new(Duration::from_secs(1), None);
            let old = denied.sent();
            denied.doubt(Instant::now());
            pass().await;
            let new = denied.sent();
            pass().await;
            if old_is_first {
                learn(&denied, old, 900);
                learn(&denied, new, 300);
            } else {
                learn(&denied, new, 300);
                assert_eq!(promised(&denied), Some(300));
                learn(&denied, old, 900);
            }
            assert_eq!(promised(&denied), None);
            pass().await;
            learn(&denied, denied.sent(), 800);
            assert_eq!(promised(&denied), Some(800));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_before_a_doubt_is_counted() {
        let window = Window::new(1000).expect("a window");
        let denied = Denied::new(
            Duration::from_secs(1),
            AnomalyRule::new(2.0, window, window).ok(),
        );
        let old = denied.sent();
        denied.doubt(Instant::now());
        pass().await;
        learn(&denied, denied.sent(), 300);
        assert_eq!(promised(&denied), Some(300));
        assert_eq!(promised(&denied), Some(300));
        learn(&denied, old, 900);
        let Known::Nothing(counts) = denied.look(&check(), Instant::now(), |_| true) else {
            panic!("it is denied without a question");
        };
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].0.op, Op::Denied(2));
        denied.sweep(Instant::now());
        assert!(denied.take_counts(MAX_IDS, Instant::now()).is_empty());
    }

    async fn pass() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}
