//! What waits and what is under way, and which of it may leave: the turns of a lane, without locks and wake-ups.

use std::collections::VecDeque;
use std::time::Instant;

use super::turn::{Load, Next, Pending};
use crate::store::Request;

/// The most requests one script call decides. The server does nothing else meanwhile: at 2 to 5 us a request, this is
/// at most a third of a millisecond, no more than a few of other clients' commands.
pub const MAX_BATCH: usize = 64;

/// The most denials of the denied cache that are counted in one script call, at about 10 us each. One such call is under
/// way at a time, so that counting, which nobody waits for, takes no more than every other turn of the server.
const MAX_COUNTS: usize = 32;

/// Full batches that may be under way: one that the server works on, and one that waits for it there, so that it is never
/// idle. Others that are not full wait for one to land, and gather. That does not touch small batches, together no more
/// than a full one: where Redis is far away and there is little to ask, nobody waits for another's round trip.
///
/// At 200 in flight on one machine, two gave 175,000 to 189,000 checks a second, three to six 134,000 to 177,000.
const BATCHES: usize = 2;

/// The requests of one lane.
pub(super) struct Queues<T> {
    /// In the order of their deadlines.
    waiting: VecDeque<Pending<T>>,
    /// Denials of the denied cache, to be counted when it is their turn.
    counts: VecDeque<Pending<T>>,
    /// The last of the counts that are under way.
    counting: Option<Request>,
    /// Batches of requests under way, and the requests in them.
    batches: usize,
    requests: usize,
}

impl<T> Queues<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            counts: VecDeque::new(),
            counting: None,
            batches: 0,
            requests: 0,
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

    /// What [`enter`](Self::enter) has handed back waits after all, ahead of the others.
    pub(super) fn take_back(&mut self, pending: Pending<T>) {
        self.landed(Load::Requests(1));
        self.waiting.push_front(pending);
    }

    /// These leave in one batch with what enters next, and ahead of it.
    pub(super) fn wait(&mut self, pendings: impl Iterator<Item = Pending<T>>) {
        self.waiting.extend(pendings);
    }

    /// These are counted when it is their turn.
    pub(super) fn count(&mut self, pendings: impl Iterator<Item = Pending<T>>) {
        self.counts.extend(pendings);
    }

    /// A batch is no longer under way.
    pub(super) fn landed(&mut self, load: Load) {
        match load {
            Load::Requests(count) => {
                self.batches -= 1;
                self.requests -= count;
            }
            Load::Counts => self.counting = None,
        }
    }

    /// What is to be done at `now`, if anything is. What is to be sent counts as under way.
    pub(super) fn next(&mut self, now: Instant) -> Option<Next<T>> {
        let late = self.take_late(now);
        if !late.is_empty() {
            return Some(Next::Late(late));
        }
        if self.may_send() {
            let size = self.waiting.len().min(MAX_BATCH);
            self.batches += 1;
            self.requests += size;
            let batch = self.waiting.drain(..size).collect();
            return Some(Next::Send(Load::Requests(size), batch));
        }
        if self.counting.is_none() && !self.counts.is_empty() {
            let size = self.counts.len().min(MAX_COUNTS);
            let batch: Vec<_> = self.counts.drain(..size).collect();
            self.counting = batch.last().map(|last| last.request.clone());
            return Some(Next::Send(Load::Counts, batch));
        }
        None
    }

    /// Whether a batch of requests may leave. The one that makes the first one, or fills one, has to say so.
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

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.counts.is_empty()
    }

    /// The last of the counts that have not arrived yet.
    pub(super) fn last_count(&self) -> Option<&Request> {
        let waiting = self.counts.back().map(|last| &last.request);
        waiting.or(self.counting.as_ref())
    }

    /// Takes everything that waits.
    pub(super) fn drain(&mut self) -> Vec<Pending<T>> {
        let (waiting, counts) = (&mut self.waiting, &mut self.counts);
        waiting.drain(..).chain(counts.drain(..)).collect()
    }

    /// Takes what need not be asked any more.
    fn take_late(&mut self, now: Instant) -> Vec<Pending<T>> {
        let mut late = Vec::new();
        for queue in [&mut self.waiting, &mut self.counts] {
            let count = queue.partition_point(|pending| pending.deadline <= now);
            late.extend(queue.drain(..count));
        }
        late
    }
}
