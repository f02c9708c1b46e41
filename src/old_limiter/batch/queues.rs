//! What waits and what is under way, and which of it may leave: the turns of a lane, without locks and wake-ups.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::turn::{Load, Next, Pending};

/// The most requests one script call decides. The server does nothing else meanwhile: at 2 to 5 us a request, this is
/// at most a third of a millisecond, no more than a few of other clients' commands.
pub const MAX_BATCH: usize = 64;

/// Denials of the denied cache that are counted in one script call, and such calls that may be under way. Nobody waits for
/// them, and at 12 to 15 us each all that are under way take the server a millisecond at most. Half a second is enough to
/// count all that the cache holds where a round trip takes no more than 3 ms.
pub(super) const MAX_COUNTS: usize = 16;
const COUNTING: usize = 4;

/// Full batches that may be under way: one that the server works on, and one that waits for it there, so that it is never
/// idle. Others that are not full wait for one to land, and gather. That does not touch small batches, together no more
/// than a full one: where Redis is far away and there is little to ask, nobody waits for another's round trip.
///
/// At 200 in flight on one machine, two gave 175,000 to 189,000 checks a second, three to six 134,000 to 177,000.
const BATCHES: usize = 2;

/// Requests of one limiter that may wait: far more than any store answers within a deadline. With ids of ten bytes these are
/// some 120 MB.
pub(super) const MAX_WAITING: usize = 1 << 20;

/// Room that is kept for the next burst, in requests.
const KEPT: usize = 1024;

/// The requests of one lane, and who waits for their end: an `F`, dropped when there is nothing more to wait for.
pub(super) struct Queues<T, F> {
    /// In the order of their deadlines.
    waiting: VecDeque<Pending<T>>,
    /// Told when all has been counted, or at its deadline.
    flush: Option<(F, Instant)>,
    /// Batches of requests under way, and the requests in them.
    batches: usize,
    requests: usize,
    /// Requests of batches that are no longer under way, and still wait for another shard of the store.
    strays: usize,
    /// Batches of counts under way.
    counting: usize,
    trip: Trip,
}

impl<T, F> Queues<T, F> {
    /// Of requests that are answered within `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            trip: Trip::new(deadline),
            waiting: VecDeque::new(),
            flush: None,
            batches: 0,
            requests: 0,
            strays: 0,
            counting: 0,
        }
    }

    /// Hands `pending` back, under way from now on, where nothing waits and nothing is under way. Otherwise it waits.
    pub(super) fn enter(&mut self, pending: Pending<T>) -> Option<Pending<T>> {
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

    /// What [`enter`](Self::enter) has handed back waits after all, ahead of the others.
    pub(super) fn take_back(&mut self, pending: Pending<T>) {
        self.leave(Load::Requests(1));
        self.waiting.push_front(pending);
    }

    /// These leave in one batch with what enters next, and ahead of it.
    pub(super) fn wait(&mut self, pendings: impl Iterator<Item = Pending<T>>) {
        self.waiting.extend(pendings);
    }

    /// `pending` has waited elsewhere: its turn is by its deadline.
    pub(super) fn insert(&mut self, pending: Pending<T>) {
        let earlier = |other: &Pending<T>| other.deadline <= pending.deadline;
        let at = self.waiting.partition_point(earlier);
        self.waiting.insert(at, pending);
    }

    /// `told` is when all that is due has been counted, or at the deadline. Returns who was to be told before.
    pub(super) fn tell(&mut self, told: F, deadline: Instant) -> Option<F> {
        let before = self.flush.replace((told, deadline));
        before.map(|(told, _)| told)
    }

    /// A batch that was sent at `sent` is no longer under way, but for its `strays`.
    pub(super) fn landed(&mut self, load: Load, strays: usize, sent: Instant) {
        self.trip.took(sent.elapsed());
        self.leave(load);
        self.strays += strays;
    }

    /// So many strays have been settled.
    pub(super) fn settled(&mut self, strays: usize) {
        self.strays -= strays;
    }

    /// A batch is no longer under way, or has never been.
    pub(super) fn leave(&mut self, load: Load) {
        match load {
            Load::Requests(count) => {
                self.batches -= 1;
                self.requests -= count;
            }
            Load::Counts => self.counting -= 1,
        }
    }

    /// What is to be done at `now`, if anything is. What is to be sent counts as under way. `due` hands out up to so many
    /// requests that are to be counted; `busy`: there is something else that a flush waits for.
    pub(super) fn next(
        &mut self,
        now: Instant,
        due: impl FnOnce(usize) -> Vec<Pending<T>>,
        busy: bool,
    ) -> Option<Next<T, F>> {
        let late = self.take_late(now);
        if !late.is_empty() {
            return Some(Next::Late(late));
        }
        if self.may_send() {
            let size = self.waiting.len().min(MAX_BATCH);
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
        self.flush.take_if(over).map(|(told, _)| Next::Tell(told))
    }

    /// Whether a batch of requests may leave.
    pub(super) fn may_send(&self) -> bool {
        let waiting = self.waiting.len();
        let room = self.batches == 0
            || self.requests + waiting <= MAX_BATCH
            || self.batches < BATCHES && waiting >= MAX_BATCH;
        room && waiting > 0
    }

    /// Whether the request that came last makes a difference: the others ride along with one before them.
    pub(super) fn begins_or_fills(&self) -> bool {
        matches!(self.waiting.len(), 1 | MAX_BATCH)
    }

    /// Requests that wait or are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len() + self.requests + self.strays
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flush.is_none()
    }

    /// Whether counts are under way.
    pub(super) fn is_counting(&self) -> bool {
        self.counting > 0
    }

    /// When something that waits has to be settled though nothing lands before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let flush = self.flush.as_ref().map(|&(_, deadline)| deadline);
        let first = self.waiting.front().map(|pending| pending.deadline);
        flush.into_iter().chain(first).min()
    }

    /// Takes everything that waits, and who is to be told.
    pub(super) fn drain(&mut self) -> (Vec<Pending<T>>, Option<F>) {
        let told = self.flush.take().map(|(told, _)| told);
        (std::mem::take(&mut self.waiting).into(), told)
    }

    /// Takes what need not be asked any more: the answer would come too late. The store would do the work all the same, and
    /// where more is asked than it can do, everybody would be late.
    fn take_late(&mut self, now: Instant) -> Vec<Pending<T>> {
        let back = now + self.trip.expected();
        let count = self
            .waiting
            .partition_point(|pending| pending.deadline <= back);
        let late = self.waiting.drain(..count).collect();
        self.shrink();
        late
    }

    /// Gives back what a burst has left behind.
    fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
    }
}

/// How long a batch is under way.
struct Trip {
    /// A mean in which the last counts an eighth, as TCP has it (RFC 6298).
    mean: Duration,
    longest: Duration,
}

impl Trip {
    fn new(deadline: Duration) -> Self {
        Self {
            mean: Duration::ZERO,
            // Something is always sent: else nobody would see that the store has become faster.
            longest: deadline.mul_f64(0.75),
        }
    }

    fn took(&mut self, time: Duration) {
        // A process that stood still says nothing of the way.
        self.mean = (self.mean * 7 + time.min(self.longest)) / 8;
    }

    fn expected(&self) -> Duration {
        self.mean.min(self.longest)
    }
}
