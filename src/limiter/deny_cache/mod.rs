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
use std::time::{Duration, Instant};

use self::entries::{Denial, Refresh, State, Waiting, find, take_denials};
use super::completion::RequestId;
use super::queue::Pending;
use crate::planted::planted;
use crate::quota::{AnomalyRule, Decision, Id, Outcome};
use crate::store::{Op, Request};

/// The most denials it holds; requests of further ids are sent each time. With ids of the greatest length these are 5 MB.
const MAX_ENTRIES: usize = 10_000;

/// The most requests that wait in it. Further ones are sent.
const MAX_WAITING: usize = 1 << 20;

/// How often the counts of repeated denials become due. A denial is counted within a second if its count is sent and
/// answered within half a second of becoming due.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// The denials of one limiter.
pub(super) struct DenyCache {
    max_age: Duration,
    rule: Option<AnomalyRule>,
    state: State,
}

/// What the cache knows of a request.
pub(super) enum Lookup {
    /// The request is denied.
    Hit(Pending, Decision),
    /// The request has to be sent, after these counts of repeated denials.
    Miss(Pending, Vec<(Request, RequestId)>),
    /// Another request of the id has been sent: this one waits in the cache until that is answered.
    Queued,
}

/// Requests that no longer wait.
#[derive(Default)]
pub(super) struct Released {
    /// Denied by the answer that they waited for.
    pub(super) denied: Vec<(Pending, Decision)>,
    /// To be sent in this order, counts of repeated denials among them.
    pub(super) send: Vec<Pending>,
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

impl DenyCache {
    /// A cache that repeats a denial for at most `max_age`; zero turns it off.
    pub(super) fn new(max_age: Duration, rule: Option<AnomalyRule>) -> Self {
        Self {
            max_age,
            rule,
            state: State {
                entries: HashMap::new(),
                count: 0,
                waiting: 0,
                uncounted: VecDeque::new(),
                due: 0,
                epoch: 0,
                invalid_until: None,
            },
        }
    }

    /// Looks up a request that is made at `now`, and counts it if it is denied.
    pub(super) fn get(&mut self, mut pending: Pending, now: Instant) -> Lookup {
        let state = &mut self.state;
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
    pub(super) fn invalidate(&mut self, id: &Id) -> Vec<Pending> {
        if planted!(DenyAfterReset) {
            return Vec::new();
        }
        self.state.remove(id)
    }

    /// These requests were not sent. Returns the requests that waited for their answers.
    pub(super) fn on_unsent<'a>(
        &mut self,
        requests: impl Iterator<Item = &'a Request>,
    ) -> Vec<Pending> {
        let state = &mut self.state;
        let released = requests.flat_map(|request| state.on_unanswered(request));
        released.collect()
    }

    /// Takes all requests that wait, in the order of their deadlines.
    pub(super) fn drain(&mut self) -> Vec<Pending> {
        let state = &mut self.state;
        state.waiting = 0;
        let entries = state.entries.values_mut().flatten();
        let refreshes = entries.filter_map(|entry| entry.refresh.take());
        let waiting = refreshes.flat_map(|refresh| refresh.waiting);
        let mut waiting: Vec<_> = waiting.map(|waiting| waiting.pending).collect();
        // Not in the order of the hash map, which differs from one process to the next.
        waiting.sort_by_key(|pending| (pending.deadline, pending.request_id.slot));
        waiting
    }

    /// The number of requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.state.waiting
    }

    /// The moment and the epoch of a batch that is sent at `now`.
    pub(super) fn sent(&self, now: Instant) -> Sent {
        Sent {
            at: now,
            epoch: self.state.epoch,
        }
    }

    /// Takes over the answers of a batch; a request without an outcome may or may not have been executed. Returns whether
    /// there is anything to sweep, and the requests that waited for these answers.
    pub(super) fn insert<'a>(
        &mut self,
        batch: BatchTimes,
        answered: impl Iterator<Item = (&'a Request, RequestId, Option<Outcome>)>,
    ) -> (bool, Released) {
        let mut released = Released::default();
        if self.max_age.is_zero() {
            return (false, released);
        }
        let state = &mut self.state;
        for (request, request_id, outcome) in answered {
            let (Op::Check | Op::Limit) = request.op else {
                if request.op == Op::Reset && !planted!(DenyAfterReset) {
                    released.send.extend(state.remove(&request.id));
                }
                continue;
            };
            let Some(outcome) = outcome else {
                released.send.extend(state.on_unanswered(request));
                continue;
            };
            let Some(denial) = Denial::of(outcome, batch, self.max_age, self.rule) else {
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

    /// Removes expired entries, and makes the counts so far due. Returns whether there is more to sweep.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        let state = &mut self.state;
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
    pub(super) fn invalidate_all(&mut self, now: Instant) {
        let state = &mut self.state;
        // A batch in flight may have been decided before the replay and be answered after it.
        state.epoch += 1;
        for entry in state.entries.values_mut().flatten() {
            entry.denial.repeat_until = entry.denial.repeat_until.min(now);
        }
    }

    /// Takes at most `most` of the counts that are due.
    pub(super) fn take_counts(&mut self, most: usize) -> Vec<(Request, RequestId)> {
        let state = &mut self.state;
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
    pub(super) fn drop_counts(&mut self) {
        while !self.take_counts(MAX_ENTRIES).is_empty() {}
    }

    /// Whether any count is due.
    pub(super) fn is_due(&self) -> bool {
        self.state.due > 0
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use super::*;
    use crate::quota::{AnomalyStatus, Limit, Verdict, Window};

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A cache in virtual time.
    struct Timed {
        cache: DenyCache,
        now: Instant,
    }

    impl Timed {
        fn new(rule: Option<AnomalyRule>) -> Self {
            Self {
                cache: DenyCache::new(SECOND, rule),
                now: Instant::now(),
            }
        }

        fn sent(&self) -> Sent {
            self.cache.sent(self.now)
        }

        /// Inserts a denial of the id with a retry time of `wait` ms.
        fn insert(&mut self, sent: Sent, wait: u64) {
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
                received: self.now,
            };
            let request_id = RequestId::default();
            let answered = [(&request, request_id, Some(outcome))];
            self.cache.insert(batch, answered.into_iter());
        }

        fn get(&mut self) -> Lookup {
            let pending = Pending {
                request: check(),
                request_id: RequestId::default(),
                deadline: self.now,
            };
            self.cache.get(pending, self.now)
        }

        fn retry_after(&mut self) -> Option<u64> {
            match self.get() {
                Lookup::Hit(_, decision) => Some(decision.retry_after_ms()),
                Lookup::Miss(..) => None,
                Lookup::Queued => panic!("another request is in flight"),
            }
        }
    }

    fn check() -> Request {
        Request {
            op: Op::Check,
            id: Id::new("id").expect("an id"),
            limit: Limit::literal(1),
        }
    }

    #[test]
    fn a_retry_time_does_not_move_earlier_in_whatever_order_answers_arrive() {
        let mut timed = Timed::new(None);
        let (first, second) = (timed.sent(), timed.sent());
        timed.insert(second, 900);
        assert_eq!(timed.retry_after(), Some(900));
        timed.insert(first, 300);
        assert_eq!(timed.retry_after(), Some(900));
        // The entry expires with the later of the two retry times.
        timed.now += MS * 900;
        assert_eq!(timed.retry_after(), None);
        timed.insert(timed.sent(), 300);
        assert_eq!(timed.retry_after(), Some(300));
    }

    /// The store decided after the sending: counted from the answer, the denial would be repeated for too long.
    #[test]
    fn a_denial_is_repeated_for_its_retry_time_from_the_sending() {
        let mut timed = Timed::new(None);
        let sent = timed.sent();
        timed.now += MS * 100;
        timed.insert(sent, 300);
        timed.now += MS * 199;
        assert_eq!(timed.retry_after(), Some(101));
        timed.now += MS;
        assert_eq!(timed.retry_after(), None);
    }

    /// In either order of the answers: the old request was in flight while another process replayed its own admissions.
    #[test]
    fn no_earlier_retry_time_is_given_after_a_denial_from_before_a_replay() {
        for old_comes_first in [false, true] {
            let mut timed = Timed::new(None);
            let old = timed.sent();
            timed.cache.invalidate_all(timed.now);
            timed.now += MS;
            let new = timed.sent();
            timed.now += MS;
            if old_comes_first {
                timed.insert(old, 900);
                timed.insert(new, 300);
            } else {
                timed.insert(new, 300);
                assert_eq!(timed.retry_after(), Some(300));
                timed.insert(old, 900);
            }
            assert_eq!(timed.retry_after(), None);
            timed.now += MS;
            timed.insert(timed.sent(), 800);
            assert_eq!(timed.retry_after(), Some(800));
        }
    }

    #[test]
    fn denials_repeated_before_an_invalidation_are_counted() {
        let window = Window::new(1000).expect("a window");
        let mut timed = Timed::new(AnomalyRule::new(2.0, window, window).ok());
        let old = timed.sent();
        timed.cache.invalidate_all(timed.now);
        timed.now += MS;
        timed.insert(timed.sent(), 300);
        assert_eq!(timed.retry_after(), Some(300));
        assert_eq!(timed.retry_after(), Some(300));
        timed.insert(old, 900);
        let Lookup::Miss(_, counts) = timed.get() else {
            panic!("the cache repeats a denial that has expired");
        };
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].0.op, Op::CountDenials(2));
        timed.cache.sweep(timed.now);
        assert!(timed.cache.take_counts(MAX_ENTRIES).is_empty());
    }

    /// Not in the order of a hash map, which differs from one process to the next.
    #[test]
    fn waiting_requests_are_drained_in_the_order_of_their_deadlines() {
        let mut timed = Timed::new(None);
        let denial = || Denial {
            repeat_until: timed.now,
            retry_at: timed.now + SECOND,
            reset: 0,
            reset_at: timed.now + SECOND,
            remaining_uses: None,
        };
        let request = |id: u32| Request {
            id: Id::new(id.to_string()).expect("an id"),
            ..check()
        };
        let batch = BatchTimes {
            sent: timed.sent(),
            received: timed.now,
        };
        let mut released = Released::default();
        let state = &mut timed.cache.state;
        for id in 0..40 {
            let request_id = RequestId::default();
            state.insert(&request(id), denial(), request_id, batch, &mut released);
        }
        for slot in 0..120 {
            timed.now += MS;
            let pending = Pending {
                request: request(slot % 40),
                request_id: RequestId { slot, label: 0 },
                deadline: timed.now + SECOND,
            };
            timed.cache.get(pending, timed.now);
        }
        // The first of each id is sent.
        let drained = timed.cache.drain();
        let slots = drained.iter().map(|pending| pending.request_id.slot);
        assert!(slots.eq(40..120));
        assert_eq!(timed.cache.waiting(), 0);
    }
}
