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
//! While a denial holds, nobody asks. Then one request asks, and the others of its id and limit wait for that answer, each no
//! longer than its own deadline. A denial answers all of them. An admission says how many slots are left: as many may ask,
//! and one more, which learns when the next slot frees. So the store decides about as often as it admits, and at most twice
//! an expiry otherwise, however many requests are in flight.
//!
//! What is answered here still counts towards an anomaly: it is sent ahead of the id's next request, or at the next sweep.
//! The store says with a denial how many more would be an anomaly, at the least: the one that may be it is not answered
//! here, so that it is reported with its own answer. (A count may cross instead where several processes deny an id.) After
//! the report, nothing is counted until the store counts again.

mod entries;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::entries::{Denial, Refresh, State, Waiting, find, take_denials};
use super::Pending;
use crate::quota::{AnomalyRule, Count, Decision, Id, Outcome, Verdict};
use crate::store::{Op, Request};

/// The most denials it holds; more are asked about each time. With ids of the longest kind these are 5 MB.
const MAX_ENTRIES: usize = 10_000;

/// The most requests that wait in it. More ask for themselves.
const MAX_WAITING: usize = 1 << 20;

/// How often what was answered here becomes due to be counted: it counts within a second, if all of it has arrived half a
/// second later.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// Denials of one limiter.
pub(super) struct DenyCache<T> {
    max_age: Duration,
    rule: Option<AnomalyRule>,
    state: Mutex<State<T>>,
}

/// What is known about a request without asking.
pub(super) enum Lookup<T> {
    /// It is denied.
    Hit(Pending<T>, Decision),
    /// Nothing: it is to be asked. These denials, answered from here, are to be counted first.
    Miss(Pending<T>, Vec<(Request, T)>),
    /// Nothing, and another asks: it waits here, to be released by what the store answers.
    Queued,
}

/// Requests that have waited.
pub(super) struct Released<T> {
    /// They are denied.
    pub(super) denied: Vec<(Pending<T>, Decision)>,
    /// They are to be asked, in this order; counts are among them.
    pub(super) ask: Vec<Pending<T>>,
}

/// A batch that has been answered: when it was sent, and when the answer came.
#[derive(Clone, Copy)]
pub(super) struct BatchTimes {
    pub(super) sent: Sent,
    pub(super) received: Instant,
}

/// When a batch was sent, and in which epoch.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
    epoch: u64,
}

impl<T: Clone> DenyCache<T> {
    /// Remembers a denial for `max_age` at most; zero: never.
    pub(super) fn new(max_age: Duration, rule: Option<AnomalyRule>) -> Self {
        Self {
            max_age,
            rule,
            state: Mutex::new(State {
                entries: HashMap::new(),
                count: 0,
                waiting: 0,
                uncounted: VecDeque::new(),
                due: 0,
                epoch: 0,
                invalid_until: None,
            }),
        }
    }

    /// Looks a request up, which is made now. One that is denied here is counted.
    pub(super) fn get(&self, mut pending: Pending<T>, now: Instant) -> Lookup<T> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let request = &mut pending.request;
        match request.op {
            Op::Check | Op::Limit => {}
            Op::Reset | Op::Status | Op::Denied(_) => return Lookup::Miss(pending, Vec::new()),
        }
        let Some(entries) = state.entries.get_mut(&request.id) else {
            return Lookup::Miss(pending, Vec::new());
        };
        let Some(entry) = find(entries, request.limit) else {
            let counts = take_denials(entries, &request.id);
            return Lookup::Miss(pending, counts);
        };
        if let Some(decision) = entry.answer(now, now) {
            if entry.denials > 0 && !std::mem::replace(&mut entry.queued, true) {
                let listed = (request.id.clone(), request.limit);
                state.uncounted.push_back(listed);
            }
            return Lookup::Hit(pending, decision);
        }
        let asking = entry.refresh.get_or_insert_with(|| Refresh::begin(now));
        if asking.try_ask() {
            // An admission says how many others may ask.
            request.op = Op::Limit;
            let counts = take_denials(entries, &request.id);
            return Lookup::Miss(pending, counts);
        }
        if state.waiting >= MAX_WAITING {
            return Lookup::Miss(pending, Vec::new());
        }
        state.waiting += 1;
        let since = now;
        asking.waiting.push_back(Waiting { since, pending });
        Lookup::Queued
    }

    /// Forgets an id: it is being reset. Returns what has waited, to be asked.
    pub(super) fn invalidate(&self, id: &Id) -> Vec<Pending<T>> {
        self.state.lock().remove(id)
    }

    /// These requests were not asked. Returns what has waited for their answers.
    pub(super) fn on_unsent<'a>(
        &self,
        requests: impl Iterator<Item = &'a Request>,
    ) -> Vec<Pending<T>> {
        let mut state = self.state.lock();
        let released = requests.flat_map(|request| state.on_unanswered(request));
        released.collect()
    }

    /// Takes all that wait.
    pub(super) fn drain(&self) -> Vec<Pending<T>> {
        let mut state = self.state.lock();
        state.waiting = 0;
        let asking = state.entries.values_mut().flatten();
        let asking = asking.filter_map(|entry| entry.refresh.take());
        let waiting = asking.flat_map(|asking| asking.waiting);
        waiting.map(|waiting| waiting.pending).collect()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// A batch is being sent.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            at: Instant::now(),
            epoch: self.state.lock().epoch,
        }
    }

    /// Remembers what a batch has been answered. No outcome: nobody knows whether it was done. Returns whether there is
    /// something to sweep, and what has waited for these answers.
    pub(super) fn insert<'a>(
        &self,
        batch: BatchTimes,
        answered: impl Iterator<Item = (&'a Request, &'a T, Option<Outcome>)>,
    ) -> (bool, Released<T>)
    where
        T: 'a,
    {
        let mut released = Released::default();
        if self.max_age.is_zero() {
            return (false, released);
        }
        let mut state = self.state.lock();
        for (request, ticket, outcome) in answered {
            let (Op::Check | Op::Limit) = request.op else {
                if request.op == Op::Reset {
                    released.ask.extend(state.remove(&request.id));
                }
                continue;
            };
            let Some(outcome) = outcome else {
                released.ask.extend(state.on_unanswered(request));
                continue;
            };
            let Some(denial) = self.denial(batch, outcome) else {
                let remaining = outcome.decision.remaining as usize;
                state.on_admission(batch.sent.at, request, remaining, &mut released);
                continue;
            };
            if batch.sent.epoch != state.epoch {
                state.invalid_until = Some(batch.received);
            }
            if state.invalid_until.is_none_or(|at| batch.sent.at > at) {
                state.insert(request, denial, ticket, batch, &mut released);
            } else {
                state.expire_if_earlier(request, &denial, batch.received);
                // One after the other they would be late: resets may come faster than answers.
                released.ask.extend(state.on_unanswered(request));
            }
        }
        (!state.entries.is_empty(), released)
    }

    /// What there is to remember of an answer.
    fn denial(&self, batch: BatchTimes, outcome: Outcome) -> Option<Denial> {
        let Verdict::Denied { retry_after } = outcome.decision.verdict else {
            return None;
        };
        let wait = Duration::from_millis(retry_after.get());
        let (left, pause) = match (self.rule, outcome.count) {
            (None, _) => (None, None),
            (Some(rule), Count::Anomaly(_)) => (None, Some(rule.window().ms())),
            (Some(_), Count::Paused(ms)) => (None, Some(ms.get())),
            (Some(_), Count::Below(more)) => (Some(more.get() - 1), None),
            (Some(_), Count::None) => (Some(0), None),
        };
        let pause = pause.map_or(Duration::MAX, Duration::from_millis);
        Some(Denial {
            until: batch.sent.at + wait.min(self.max_age).min(pause),
            promised: batch.received.checked_add(wait)?,
            reset: outcome.decision.reset,
            reset_at: batch
                .received
                .checked_add(Duration::from_millis(outcome.decision.reset_after))?,
            remaining_uses: left,
        })
    }

    /// Forgets what is too old. What was answered so far is due to be counted. Returns whether there is more to sweep.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.due = state.uncounted.len();
        // An entry whose time is over still lets one ask for all; many of them make room for others.
        let crowded = state.count >= MAX_ENTRIES / 2;
        let mut count = 0;
        state.entries.retain(|_, entries| {
            entries.retain(|entry| entry.is_live(now) || !crowded && now < entry.denial.promised);
            count += entries.len();
            !entries.is_empty()
        });
        state.count = count;
        count > 0
    }

    /// Answers no more from what it holds: the store has heard of more admissions, and the promises may be too early.
    pub(super) fn invalidate_all(&self, now: Instant) {
        let mut state = self.state.lock();
        // What is under way may have been denied before, and be answered after.
        state.epoch += 1;
        for entry in state.entries.values_mut().flatten() {
            entry.denial.until = entry.denial.until.min(now);
        }
    }

    /// Takes up to `most` counts that are due.
    pub(super) fn take_counts(&self, most: usize) -> Vec<(Request, T)> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut counts = Vec::new();
        while counts.len() < most && state.due > 0 {
            state.due -= 1;
            let Some((id, limit)) = state.uncounted.pop_front() else {
                break;
            };
            let entries = state.entries.get_mut(&id);
            if let Some(entry) = entries.and_then(|entries| find(entries, limit)) {
                entry.queued = false;
                counts.extend(entry.take_denials(&id));
            }
        }
        counts
    }

    /// Forgets the counts that are due: the store is away.
    pub(super) fn drop_counts(&self) {
        while !self.take_counts(MAX_ENTRIES).is_empty() {}
    }

    /// Whether something is due to be counted.
    pub(super) fn is_due(&self) -> bool {
        self.state.lock().due > 0
    }
}

impl<T> Default for Released<T> {
    fn default() -> Self {
        Self {
            denied: Vec::new(),
            ask: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;
    use crate::quota::{Id, Limit, Window};

    /// A check of an id, and the answer that there is a slot in so many ms.
    fn learn(denied: &DenyCache<u32>, sent: Sent, wait: u64) {
        let request = check();
        let outcome = Outcome {
            count: Count::Below(NonZeroU32::MIN.saturating_add(9)),
            ..Outcome::of(Decision {
                verdict: Verdict::Denied {
                    retry_after: NonZeroU64::new(wait).expect("not now"),
                },
                remaining: 0,
                reset: wait,
                reset_after: wait,
            })
        };
        let batch = BatchTimes {
            sent,
            received: Instant::now(),
        };
        denied.insert(batch, [(&request, &0, Some(outcome))].into_iter());
    }

    fn check() -> Request {
        Request {
            op: Op::Check,
            id: Id::new("id").expect("an id"),
            limit: Limit::literal(1),
        }
    }

    fn pending() -> Pending<u32> {
        Pending {
            request: check(),
            ticket: 0,
            deadline: Instant::now(),
        }
    }

    fn promised(denied: &DenyCache<u32>) -> Option<u64> {
        match denied.get(pending(), Instant::now()) {
            Lookup::Hit(_, decision) => Some(decision.retry_after_ms()),
            Lookup::Miss(..) => None,
            Lookup::Queued => panic!("another asks"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_promised_moment_does_not_move_earlier_whatever_is_answered_last() {
        let denied = DenyCache::new(Duration::from_secs(1), None);
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
            let denied = DenyCache::new(Duration::from_secs(1), None);
            let old = denied.sent();
            denied.invalidate_all(Instant::now());
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
        let denied = DenyCache::new(
            Duration::from_secs(1),
            AnomalyRule::new(2.0, window, window).ok(),
        );
        let old = denied.sent();
        denied.invalidate_all(Instant::now());
        pass().await;
        learn(&denied, denied.sent(), 300);
        assert_eq!(promised(&denied), Some(300));
        assert_eq!(promised(&denied), Some(300));
        learn(&denied, old, 900);
        let Lookup::Miss(_, counts) = denied.get(pending(), Instant::now()) else {
            panic!("it is denied without a question");
        };
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].0.op, Op::Denied(2));
        denied.sweep(Instant::now());
        assert!(denied.take_counts(MAX_ENTRIES).is_empty());
    }

    async fn pass() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}
