//! The deny cache: a denial of the store is repeated, without another request, while no slot can be free.
//!
//! A denial with `w` ms to go cannot become an admission before `w` ms have passed on the store's clock, unless the id is
//! reset. The store decided after the request was sent, so `w` ms of this process's clock, counted from the sending, never
//! end too late. Until then the same request gets the same answer in the caller's thread, but no longer than the age limit
//! of the cache, which bounds how late a reset by another process is seen.
//!
//! The retry time of a repeated denial is counted from the arrival of the answer: a caller who returns at that moment finds
//! a slot. Each limit of an id has an entry of its own: under a larger limit a slot may be free, and under a smaller one it
//! becomes free later than this entry says.
//!
//! When a denial may no longer be repeated, one request is sent, and the other requests of its id and limit wait for that
//! answer, each no longer than its own deadline. A denial answers all of them. An admission says how many slots remain:
//! that many requests may be sent, and one more, which learns when the next slot becomes free. So the store decides about
//! as often as it admits, and at most twice more for each denial that expires, however many requests are in flight.
//!
//! A repeated denial still counts towards an anomaly: the count is sent ahead of the id's next request, or at the next
//! sweep. A denial of the store carries a lower bound of the requests that are missing to an anomaly. The request that may
//! be the last of them is sent, so that the anomaly is reported with its own answer. (Where several processes deny an id, a
//! count may reach the threshold instead.) After the report the store pauses counting, and so does the cache.

mod entries;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::entries::{Denial, Refresh, State, Waiting, find, take_denials};
use super::Pending;
use crate::quota::{AnomalyRule, AnomalyStatus, Decision, Id, Outcome, Verdict};
use crate::store::{Op, Request};

/// The most denials it holds; requests of further ids are sent each time. With ids of the greatest length these are 5 MB.
const MAX_ENTRIES: usize = 10_000;

/// The most requests that wait in it. Further ones are sent.
const MAX_WAITING: usize = 1 << 20;

/// How often the counts of repeated denials become due. A denial is counted within a second if its count is sent and
/// answered within half a second of becoming due.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// The denials of one limiter.
pub(super) struct DenyCache<T> {
    max_age: Duration,
    rule: Option<AnomalyRule>,
    state: Mutex<State<T>>,
}

/// What the cache knows of a request.
pub(super) enum Lookup<T> {
    /// The request is denied.
    Hit(Pending<T>, Decision),
    /// The request has to be sent, after these counts of repeated denials.
    Miss(Pending<T>, Vec<(Request, T)>),
    /// Another request of the id has been sent: this one waits in the cache until that is answered.
    Queued,
}

/// Requests that no longer wait.
pub(super) struct Released<T> {
    /// Denied by the answer that they waited for.
    pub(super) denied: Vec<(Pending<T>, Decision)>,
    /// To be sent in this order, counts of repeated denials among them.
    pub(super) send: Vec<Pending<T>>,
}

/// When a batch was sent, and when its answer arrived.
#[derive(Clone, Copy)]
pub(super) struct BatchTimes {
    pub(super) sent: Sent,
    pub(super) received: Instant,
}

/// When a batch was sent, and in which epoch of the cache.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Instant,
    epoch: u64,
}

impl<T: Clone> DenyCache<T> {
    /// A cache that repeats a denial for at most `max_age`; zero turns it off.
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

    /// Looks up a request that is made at `now`, and counts it if it is denied.
    pub(super) fn get(&self, mut pending: Pending<T>, now: Instant) -> Lookup<T> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let request = &mut pending.request;
        match request.op {
            Op::Check | Op::Limit => {}
            Op::Reset | Op::Status | Op::CountDenials(_) => {
                return Lookup::Miss(pending, Vec::new());
            }
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
                state
                    .uncounted
                    .push_back((request.id.clone(), request.limit));
            }
            return Lookup::Hit(pending, decision);
        }
        let refresh = entry.refresh.get_or_insert_with(|| Refresh::begin(now));
        if refresh.try_send() {
            // The answer to `limit` says how many slots remain, that is how many waiting requests may be sent.
            request.op = Op::Limit;
            let counts = take_denials(entries, &request.id);
            return Lookup::Miss(pending, counts);
        }
        if state.waiting >= MAX_WAITING {
            return Lookup::Miss(pending, Vec::new());
        }
        state.waiting += 1;
        let since = now;
        refresh.waiting.push_back(Waiting { since, pending });
        Lookup::Queued
    }

    /// Removes an id that is being reset. Returns the requests that waited for it; they have to be sent.
    pub(super) fn invalidate(&self, id: &Id) -> Vec<Pending<T>> {
        self.state.lock().remove(id)
    }

    /// These requests were not sent. Returns the requests that waited for their answers.
    pub(super) fn on_unsent<'a>(
        &self,
        requests: impl Iterator<Item = &'a Request>,
    ) -> Vec<Pending<T>> {
        let mut state = self.state.lock();
        let released = requests.flat_map(|request| state.on_unanswered(request));
        released.collect()
    }

    /// Takes all requests that wait.
    pub(super) fn drain(&self) -> Vec<Pending<T>> {
        let mut state = self.state.lock();
        state.waiting = 0;
        let entries = state.entries.values_mut().flatten();
        let refreshes = entries.filter_map(|entry| entry.refresh.take());
        let waiting = refreshes.flat_map(|refresh| refresh.waiting);
        waiting.map(|waiting| waiting.pending).collect()
    }

    /// The number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Notes the moment and the epoch of a batch that is being sent.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            at: Instant::now(),
            epoch: self.state.lock().epoch,
        }
    }

    /// Takes over the answers of a batch; a request without an outcome may or may not have been executed. Returns whether
    /// there is anything to sweep, and the requests that waited for these answers.
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
        for (request, request_id, outcome) in answered {
            let (Op::Check | Op::Limit) = request.op else {
                if request.op == Op::Reset {
                    released.send.extend(state.remove(&request.id));
                }
                continue;
            };
            let Some(outcome) = outcome else {
                released.send.extend(state.on_unanswered(request));
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
                state.insert(request, denial, request_id, batch, &mut released);
            } else {
                state.expire_if_earlier(request, &denial, batch.received);
                // Sent one after the other they would be late, since resets may come faster than answers.
                released.send.extend(state.on_unanswered(request));
            }
        }
        (!state.entries.is_empty(), released)
    }

    /// The entry for an answer, if it is a denial.
    fn denial(&self, batch: BatchTimes, outcome: Outcome) -> Option<Denial> {
        let Verdict::Denied { retry_after } = outcome.decision.verdict else {
            return None;
        };
        let wait = Duration::from_millis(retry_after.get());
        let (remaining_uses, pause) = match (self.rule, outcome.anomaly_status) {
            (None, _) => (None, None),
            (Some(rule), AnomalyStatus::Anomaly(_)) => (None, Some(rule.window().ms())),
            (Some(_), AnomalyStatus::Paused(ms)) => (None, Some(ms.get())),
            (Some(_), AnomalyStatus::Below(more)) => (Some(more.get() - 1), None),
            (Some(_), AnomalyStatus::None) => (Some(0), None),
        };
        let pause = pause.map_or(Duration::MAX, Duration::from_millis);
        Some(Denial {
            repeat_until: batch.sent.at + wait.min(self.max_age).min(pause),
            retry_at: batch.received.checked_add(wait)?,
            reset: outcome.decision.reset,
            reset_at: batch
                .received
                .checked_add(Duration::from_millis(outcome.decision.reset_after))?,
            remaining_uses,
        })
    }

    /// Removes expired entries, and makes the counts so far due. Returns whether there is more to sweep.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.due = state.uncounted.len();
        // An expired entry is still of use: through it one request is sent for all of its id. A cache that is half full
        // drops such entries.
        let crowded = state.count >= MAX_ENTRIES / 2;
        let mut count = 0;
        state.entries.retain(|_, entries| {
            entries.retain(|entry| entry.is_live(now) || !crowded && now < entry.denial.retry_at);
            count += entries.len();
            !entries.is_empty()
        });
        state.count = count;
        count > 0
    }

    /// Expires all entries: more admissions have been replayed into the store, so the retry times may be too early.
    pub(super) fn invalidate_all(&self, now: Instant) {
        let mut state = self.state.lock();
        // A batch in flight may have been decided before the replay and be answered after it.
        state.epoch += 1;
        for entry in state.entries.values_mut().flatten() {
            entry.denial.repeat_until = entry.denial.repeat_until.min(now);
        }
    }

    /// Takes at most `most` of the counts that are due.
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

    /// Drops the counts that are due: the store is away.
    pub(super) fn drop_counts(&self) {
        while !self.take_counts(MAX_ENTRIES).is_empty() {}
    }

    /// Whether any count is due.
    pub(super) fn is_due(&self) -> bool {
        self.state.lock().due > 0
    }
}

impl<T> Default for Released<T> {
    fn default() -> Self {
        Self {
            denied: Vec::new(),
            send: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;
    use crate::quota::{Id, Limit, Window};

    /// Inserts a denial of the id with a retry time of `wait` ms.
    fn insert(cache: &DenyCache<u32>, sent: Sent, wait: u64) {
        let request = check();
        let outcome = Outcome {
            anomaly_status: AnomalyStatus::Below(NonZeroU32::MIN.saturating_add(9)),
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
        cache.insert(batch, [(&request, &0, Some(outcome))].into_iter());
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

    fn retry_after(cache: &DenyCache<u32>) -> Option<u64> {
        match cache.get(pending(), Instant::now()) {
            Lookup::Hit(_, decision) => Some(decision.retry_after_ms()),
            Lookup::Miss(..) => None,
            Lookup::Queued => panic!("another request is in flight"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_time_does_not_move_earlier_in_whatever_order_answers_arrive() {
        let cache = DenyCache::new(Duration::from_secs(1), None);
        let (first, second) = (cache.sent(), cache.sent());
        insert(&cache, second, 900);
        assert_eq!(retry_after(&cache), Some(900));
        insert(&cache, first, 300);
        assert_eq!(retry_after(&cache), Some(900));
        // The entry expires with the later of the two retry times.
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!(retry_after(&cache), None);
        insert(&cache, cache.sent(), 300);
        assert_eq!(retry_after(&cache), Some(300));
    }

    /// The store decided after the sending: counted from the answer, the denial would be repeated for too long.
    #[tokio::test(start_paused = true)]
    async fn a_denial_is_repeated_for_its_retry_time_from_the_sending() {
        let cache = DenyCache::new(Duration::from_secs(1), None);
        let sent = cache.sent();
        tokio::time::advance(Duration::from_millis(100)).await;
        insert(&cache, sent, 300);
        tokio::time::advance(Duration::from_millis(199)).await;
        assert_eq!(retry_after(&cache), Some(101));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(retry_after(&cache), None);
    }

    /// In either order of the answers: the old request was in flight while another process replayed its own admissions.
    #[tokio::test(start_paused = true)]
    async fn no_earlier_retry_time_is_given_after_a_denial_from_before_a_replay() {
        for old_comes_first in [false, true] {
            let cache = DenyCache::new(Duration::from_secs(1), None);
            let old = cache.sent();
            cache.invalidate_all(Instant::now());
            pass().await;
            let new = cache.sent();
            pass().await;
            if old_comes_first {
                insert(&cache, old, 900);
                insert(&cache, new, 300);
            } else {
                insert(&cache, new, 300);
                assert_eq!(retry_after(&cache), Some(300));
                insert(&cache, old, 900);
            }
            assert_eq!(retry_after(&cache), None);
            pass().await;
            insert(&cache, cache.sent(), 800);
            assert_eq!(retry_after(&cache), Some(800));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn denials_repeated_before_an_invalidation_are_counted() {
        let window = Window::new(1000).expect("a window");
        let cache = DenyCache::new(
            Duration::from_secs(1),
            AnomalyRule::new(2.0, window, window).ok(),
        );
        let old = cache.sent();
        cache.invalidate_all(Instant::now());
        pass().await;
        insert(&cache, cache.sent(), 300);
        assert_eq!(retry_after(&cache), Some(300));
        assert_eq!(retry_after(&cache), Some(300));
        insert(&cache, old, 900);
        let Lookup::Miss(_, counts) = cache.get(pending(), Instant::now()) else {
            panic!("the cache repeats a denial that has expired");
        };
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].0.op, Op::CountDenials(2));
        cache.sweep(Instant::now());
        assert!(cache.take_counts(MAX_ENTRIES).is_empty());
    }

    async fn pass() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}
