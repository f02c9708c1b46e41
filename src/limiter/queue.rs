//! The queue of one shard: requests that wait, the numbers of those in flight, and which may be sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::completer::FlushId;
use super::completion::RequestId;
use crate::planted::planted;
use crate::store::{Request, StoreError};

/// The most requests that one script call decides. The server does nothing else meanwhile: at 2 to 5 us a request, this is
/// at most a third of a millisecond, no more than a few of other clients' commands.
pub const MAX_BATCH: usize = 64;

/// The most denials of the deny cache that are counted in one script call, and the most such calls in flight. Nobody waits for
/// them, and at 12 to 15 us each all that are in flight take the server a millisecond at most. Half a second is enough to
/// count all that the cache holds where a round trip takes no more than 3 ms.
const MAX_COUNTS: usize = 16;
const COUNTING: usize = 4;

/// The most full batches in flight: one that the server works on, and one that waits for it there, so that it is never
/// idle. Requests that do not fill another wait for an answer, and gather. Small batches, together no more than a full one, are
/// not held back: where Redis is far away and there is little to ask, no request waits for another's round trip.
///
/// At 200 in flight on one machine, two gave 175,000 to 189,000 checks a second, three to six 134,000 to 177,000.
const BATCHES: usize = 2;

/// The most requests of one limiter and shard that wait: far more than any store answers within a deadline. With ids of ten
/// bytes these are some 120 MB.
pub(super) const MAX_WAITING: usize = 1 << 20;

/// Memory that is kept for the next burst, in requests.
const KEPT: usize = 1024;

/// A request that waits or is in flight.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) request_id: RequestId,
    pub(super) deadline: Instant,
}

/// What a batch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// That many requests.
    Requests(usize),
    /// Denials that are to be counted, for which nobody waits.
    Counts,
}

/// The next step of a shard.
pub(super) enum Next {
    Send(Load, Vec<Pending>),
    /// To be completed without asking: their deadlines have passed.
    Late(Vec<Pending>),
    /// The flush has ended: all is counted, or its deadline has passed.
    Flushed(FlushId),
}

/// Where a request goes.
pub(super) enum Entered {
    /// It waits.
    Queued,
    /// Nothing waits and nothing is in flight: it is sent at once, and counts as in flight.
    Idle(Pending),
    /// The store is not asked, for this reason.
    Refused(Pending, StoreError),
}

/// The requests of one limiter to one shard.
pub(super) struct Queue {
    /// In the order of their deadlines.
    waiting: VecDeque<Pending>,
    /// Ends when all is counted, or at its deadline.
    flush: Option<(FlushId, Instant)>,
    /// Batches of requests in flight, and the requests in them.
    batches: usize,
    requests: usize,
    /// Requests of batches that are no longer in flight for this shard, and still wait for another one.
    redirected: usize,
    /// Batches of counts in flight.
    counting: usize,
    round_trip: RoundTrip,
}

impl Queue {
    /// A queue of requests that are answered within `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            round_trip: RoundTrip::new(deadline),
            waiting: VecDeque::new(),
            flush: None,
            batches: 0,
            requests: 0,
            redirected: 0,
            counting: 0,
        }
    }

    /// Returns `pending`, in flight from now on, if nothing waits and nothing is in flight. Otherwise it waits.
    pub(super) fn enter(&mut self, pending: Pending) -> Option<Pending> {
        if self.batches > 0 || !self.waiting.is_empty() {
            self.waiting.push_back(pending);
            return None;
        }
        self.batches = 1;
        self.requests = 1;
        Some(pending)
    }

    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// These leave in one batch with the request that enters next, and ahead of it.
    pub(super) fn push(&mut self, pendings: impl Iterator<Item = Pending>) {
        self.waiting.extend(pendings);
    }

    /// `pending` has waited elsewhere: its place is by its deadline.
    pub(super) fn insert(&mut self, pending: Pending) {
        let earlier = |other: &Pending| other.deadline <= pending.deadline;
        let at = self.waiting.partition_point(earlier);
        self.waiting.insert(at, pending);
    }

    /// `flush` ends when everything that is due is counted, or at the deadline. Returns the flush that it replaces.
    pub(super) fn flush(&mut self, flush: FlushId, deadline: Instant) -> Option<FlushId> {
        let before = self.flush.replace((flush, deadline));
        before.map(|(flush, _)| flush)
    }

    /// A batch is no longer in flight for this shard after `time`, except for `redirected` of its requests.
    pub(super) fn on_replied(&mut self, load: Load, redirected: usize, time: Duration) {
        self.round_trip.update(time);
        match load {
            Load::Requests(count) => {
                self.batches -= 1;
                self.requests -= count;
            }
            Load::Counts => self.counting -= 1,
        }
        self.redirected += redirected;
    }

    /// That many redirected requests have been completed.
    pub(super) fn on_redirected_done(&mut self, count: usize) {
        self.redirected -= count;
    }

    /// The next step at `now`, if there is one. A batch to send counts as in flight. `due` returns up to that many counts;
    /// `busy`: there is something else that a flush waits for.
    pub(super) fn next(
        &mut self,
        now: Instant,
        due: impl FnOnce(usize) -> Vec<Pending>,
        busy: bool,
    ) -> Option<Next> {
        let late = self.take_late(now);
        if !late.is_empty() {
            return Some(Next::Late(late));
        }
        if self.may_send() {
            let most = if planted!(BatchTooLarge) {
                100
            } else {
                MAX_BATCH
            };
            let size = self.waiting.len().min(most);
            self.batches += 1;
            self.requests += size;
            let batch = self.waiting.drain(..size).collect();
            self.shrink();
            return Some(Next::Send(Load::Requests(size), batch));
        }
        if self.counting < COUNTING {
            let batch = due(MAX_COUNTS);
            if !batch.is_empty() {
                self.counting += 1;
                return Some(Next::Send(Load::Counts, batch));
            }
        }
        let over = |&mut (_, deadline): &mut _| self.counting == 0 && !busy || deadline <= now;
        let flush = self.flush.take_if(over);
        flush.map(|(flush, _)| Next::Flushed(flush))
    }

    /// Whether a batch of requests may be sent.
    pub(super) fn may_send(&self) -> bool {
        let waiting = self.waiting.len();
        let room = self.batches == 0
            || self.requests + waiting <= MAX_BATCH
            || self.batches < BATCHES && waiting >= MAX_BATCH;
        room && waiting > 0
    }

    /// Whether the request that came last makes a difference: others are sent along with one before them.
    pub(super) fn begins_or_fills(&self) -> bool {
        matches!(self.waiting.len(), 1 | MAX_BATCH)
    }

    /// The number of requests that wait or are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.requests + self.redirected
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flush.is_none()
    }

    /// Whether counts are in flight.
    pub(super) fn is_counting(&self) -> bool {
        self.counting > 0
    }

    /// When a request or a flush that waits has to be completed even if no answer comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let flush = self.flush.as_ref().map(|&(_, deadline)| deadline);
        let first = self.waiting.front().map(|pending| pending.deadline);
        flush.into_iter().chain(first).min()
    }

    /// Takes everything that waits.
    pub(super) fn drain(&mut self) -> (Vec<Pending>, Option<FlushId>) {
        let flush = self.flush.take().map(|(flush, _)| flush);
        (std::mem::take(&mut self.waiting).into(), flush)
    }

    /// Takes the requests that need not be sent any more: the answer would come too late. The store would do the work all the
    /// same, and where more is asked than it can do, every request would be late.
    fn take_late(&mut self, now: Instant) -> Vec<Pending> {
        let back = now + self.round_trip.expected();
        let count = self
            .waiting
            .partition_point(|pending| pending.deadline <= back);
        let late = self.waiting.drain(..count).collect();
        self.shrink();
        late
    }

    /// Frees the memory of a burst.
    fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
    }
}

/// How long a batch is in flight.
struct RoundTrip {
    /// A mean in which the last counts an eighth, as in TCP (RFC 6298).
    mean: Duration,
    longest: Duration,
}

impl RoundTrip {
    fn new(deadline: Duration) -> Self {
        Self {
            mean: Duration::ZERO,
            // Some requests are always sent: else a store that has become faster would go unnoticed.
            longest: deadline.mul_f64(0.75),
        }
    }

    fn update(&mut self, time: Duration) {
        // A process that was stopped says nothing of the round trip.
        self.mean = (self.mean * 7 + time.min(self.longest)) / 8;
    }

    fn expected(&self) -> Duration {
        self.mean.min(self.longest)
    }
}
