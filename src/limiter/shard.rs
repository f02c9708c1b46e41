//! One shard of a limiter: its queue, circuit breaker, deny cache and batches in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::circuit_breaker::Breaker;
use super::completer::{Completer, FlushId, gone, late, overloaded, report};
use super::completion::{Action, BatchId, Context};
use super::deny_cache::{DenyCache, Lookup, SWEEP};
use super::queue::{Entered, Load, Next, Pending, Queue};
use super::recovery::Recovery;
use crate::metrics::Gauge;
use crate::planted::planted;
use crate::quota::Id;
use crate::store::redis::cluster::ShardMap;
use crate::store::{Answer, Request, StoreError};

/// The requests of one limiter to one shard of the store, apart from those to others: a shard that is away delays no other.
pub(super) struct Shard {
    pub(super) index: usize,
    /// The time within which a request is answered.
    pub(super) deadline: Duration,
    pub(super) queue: Queue,
    pub(super) breaker: Breaker,
    pub(super) deny_cache: DenyCache,
    /// In the order of their numbers.
    pub(super) batches: VecDeque<Batch>,
    next_number: u64,
    pub(super) recovery: Option<Recovery>,
    /// The number of connections to the shard's primary, and of primaries, that were reported.
    pub(super) connections: u64,
    /// When the deny cache is due to be swept, while there is something in it.
    sweep: Option<Instant>,
    /// No later than the moment at which something is due. It may be earlier: a deadline whose request was answered stays set,
    /// so that one lone request after another sets no timer.
    timer: Option<Instant>,
    pending_replays: PendingReplays,
    gauge: Arc<Gauge>,
    closed: bool,
}

/// Whether the journal held decisions for the shard, at a generation of the journal.
#[derive(Default)]
struct PendingReplays {
    generation: Option<u64>,
    any: bool,
}

impl Shard {
    /// A shard with a closed breaker.
    pub(super) fn new(index: usize, completer: &Completer) -> Self {
        let times = completer.times;
        let gauge = Arc::default();
        completer.metrics.add_gauge(Arc::downgrade(&gauge));
        Self {
            index,
            deadline: times.deadline,
            queue: Queue::new(times.deadline),
            breaker: Breaker::new(times.deadline),
            deny_cache: DenyCache::new(times.deny_cache, completer.scope.rules.anomaly),
            batches: VecDeque::new(),
            next_number: 0,
            recovery: None,
            connections: 0,
            sweep: None,
            timer: None,
            pending_replays: PendingReplays::default(),
            gauge,
            closed: false,
        }
    }

    /// No later than the moment at which something is due.
    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    /// Something is due at `at`.
    pub(super) fn set_timer(&mut self, at: Instant) {
        self.timer = Some(self.timer.map_or(at, |timer| timer.min(at)));
    }

    /// Sends no request, because of `error`, before a probe and a replay have succeeded.
    pub(super) fn hold(&mut self, error: StoreError, now: Instant) {
        self.breaker.force_open(error);
        self.set_timer(now);
    }

    /// Makes the values of this shard visible to metrics.
    pub(super) fn publish(&self) {
        let in_flight = self.queue.in_flight() + self.deny_cache.waiting();
        self.gauge.set(in_flight, self.breaker.state());
    }

    /// Takes a request. It is answered in the call, or completes later.
    pub(super) fn submit(
        &mut self,
        pending: Pending,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<(Request, Answer)> {
        let (pending, counts) = match self.deny_cache.get(pending, cx.now) {
            Lookup::Hit(pending, decision) => {
                return Some(completer.repeat(pending, decision, cx.now));
            }
            Lookup::Miss(pending, counts) => (pending, counts),
            Lookup::Queued => return None,
        };
        match self.enter(counts, pending, cx.now) {
            Entered::Queued => None,
            Entered::Idle(pending) => {
                let batch = std::iter::once(pending);
                self.send(Load::Requests(1), batch, completer, cx);
                None
            }
            Entered::Refused(pending, error) => {
                let Pending {
                    request,
                    request_id,
                    ..
                } = pending;
                let waiting = self.deny_cache.on_unsent(std::iter::once(&request));
                self.enqueue(waiting, completer, cx);
                let result = completer.instead(&request, request_id, error, cx);
                match result {
                    Ok(answer) => Some((request, answer)),
                    failed => {
                        report(&request, request_id, failed, cx);
                        None
                    }
                }
            }
        }
    }

    /// Takes a request in, and ahead of it the counts that are sent with it.
    fn enter(
        &mut self,
        counts: Vec<(Request, super::RequestId)>,
        pending: Pending,
        now: Instant,
    ) -> Entered {
        if let Some(error) = self.refuses() {
            return Entered::Refused(pending, error);
        }
        let alone = counts.is_empty();
        let deadline = pending.deadline;
        self.queue.push(with_deadline(counts, deadline));
        if let Some(pending) = self.queue.enter(pending) {
            return Entered::Idle(pending);
        }
        if !planted!(DeadlineNotArmed) {
            self.set_timer(deadline);
        }
        // Other requests are sent along with these; where none may be sent now, the next answer to arrive sends them.
        if (self.queue.begins_or_fills() || !alone) && self.queue.may_send() {
            self.set_timer(now);
        }
        Entered::Queued
    }

    /// Why no request is taken in, while none is.
    fn refuses(&self) -> Option<StoreError> {
        let full = (!self.queue.has_room()).then(overloaded);
        if planted!(OpenBreakerSends) && self.next_number.is_multiple_of(4) {
            return full;
        }
        self.breaker.reason().cloned().or(full)
    }

    /// Takes in requests that have waited in the deny cache, and have used up a part of their time.
    pub(super) fn enqueue(
        &mut self,
        released: Vec<Pending>,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        if released.is_empty() {
            return;
        }
        if let Some(error) = self.refuses() {
            return self.refuse(released, &error, completer, cx);
        }
        for pending in released {
            self.queue.insert(pending);
        }
        self.set_timer(cx.now);
    }

    /// Completes requests that are not sent, because of `error`.
    fn refuse(
        &mut self,
        batch: Vec<Pending>,
        error: &StoreError,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let requests = batch.iter().map(|pending| &pending.request);
        let waiting = self.deny_cache.on_unsent(requests);
        completer.refuse(batch, error, cx);
        // No other request waits for these.
        self.enqueue(waiting, completer, cx);
    }

    /// The requests that wait for an id which is being reset are sent.
    pub(super) fn invalidate(&mut self, id: &Id, completer: &mut Completer, cx: &mut Context<'_>) {
        let waiting = self.deny_cache.invalidate(id);
        self.enqueue(waiting, completer, cx);
    }

    /// The id of a new script call.
    pub(super) fn next_batch(&mut self) -> BatchId {
        let number = self.next_number;
        self.next_number += 1;
        self.batch_id(number)
    }

    pub(super) fn batch_id(&self, number: u64) -> BatchId {
        BatchId {
            shard: self.index as u32,
            number,
        }
    }

    /// Sends a batch that counts as in flight.
    fn send(
        &mut self,
        load: Load,
        batch: impl ExactSizeIterator<Item = Pending>,
        completer: &Completer,
        cx: &mut Context<'_>,
    ) {
        if let Load::Requests(count) = load {
            completer.metrics.on_batch_sent(count);
        }
        let id = self.next_batch();
        let batch = Batch::new(id.number, load, batch, self.deny_cache.sent(cx.now));
        if let Some(deadline) = batch.deadline() {
            self.set_timer(deadline);
        }
        cx.out.actions.push(Action::Send {
            batch: id,
            requests: Arc::clone(&batch.requests),
            shard: self.index,
        });
        self.batches.push_back(batch);
    }

    /// The deny cache is swept in a while, if there is something in it.
    pub(super) fn schedule_sweep(&mut self, sweep: bool, now: Instant) {
        if sweep && self.sweep.is_none() {
            self.sweep = Some(now + SWEEP);
            self.set_timer(now + SWEEP);
        }
    }

    /// Whether decisions of this process are to be replayed into the shard. Each batch asks: while the journal is empty that is
    /// one atomic load, and otherwise it is looked up again only when the journal has changed.
    pub(super) fn has_pending_replays(&mut self, completer: &Completer, map: &ShardMap) -> bool {
        let Some(local) = completer.fallback.local() else {
            return false;
        };
        let Some(generation) = local.journal.generation() else {
            return false;
        };
        if self.pending_replays.generation != Some(generation) {
            self.pending_replays = PendingReplays {
                generation: Some(generation),
                any: !local
                    .journal
                    .is_empty(|slot| map.shard_of(slot) == self.index),
            };
        }
        self.pending_replays.any
    }

    /// The shard may own other slots now.
    pub(super) fn on_map_changed(&mut self) {
        self.pending_replays = PendingReplays::default();
    }

    /// Does what is due at this moment.
    pub(super) fn advance(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        if self.timer.is_none_or(|timer| timer > cx.now) {
            return;
        }
        self.expire(completer, cx);
        if self.sweep.is_some_and(|due| due <= cx.now) {
            self.sweep = self.deny_cache.sweep(cx.now).then(|| cx.now + SWEEP);
        }
        self.run(completer, cx);
        let batches = self.batches.iter().filter_map(Batch::deadline);
        let recovery = self.recovery.as_ref().map(Recovery::timer);
        let waiting = self
            .queue
            .deadline()
            .filter(|_| !planted!(DeadlineNotArmed));
        let other = [waiting, self.sweep, recovery];
        self.timer = batches.chain(other.into_iter().flatten()).min();
    }

    /// Sends and completes what may be sent and completed now. Not called in a caller's call: what others submit meanwhile is to
    /// be sent along.
    pub(super) fn run(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        self.advance_recovery(completer, cx);
        loop {
            let pending = self.has_pending_replays(completer, cx.map);
            let is_open = self.breaker.reason().is_some();
            if !self.closed && self.recovery.is_none() && (pending || is_open) {
                self.begin_recovery(completer, cx);
                continue;
            }
            if is_open {
                self.deny_cache.drop_counts();
            }
            let (now, deadline) = (cx.now, self.deadline);
            let deny_cache = &mut self.deny_cache;
            let due = |most| with_deadline(deny_cache.take_counts(most), now + deadline).collect();
            let replaying = pending && self.breaker.is_healthy();
            match self.queue.next(now, due, replaying) {
                None => break,
                Some(Next::Send(load, batch)) => {
                    self.send(load, batch.into_iter(), completer, cx);
                }
                Some(Next::Late(batch)) => self.refuse(batch, &late(), completer, cx),
                Some(Next::Flushed(flush)) => completer.on_flushed(flush, cx),
            }
        }
    }

    /// Sends the counts of repeated denials and begins a replay if one is pending. If there is either, `flush` waits for both.
    pub(super) fn flush(
        &mut self,
        flush: FlushId,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        self.deny_cache.sweep(cx.now);
        let replaying = self.has_pending_replays(completer, cx.map) && self.breaker.is_healthy();
        let busy = self.deny_cache.is_due() || self.queue.is_counting() || replaying;
        if self.closed || self.breaker.reason().is_some() || !busy {
            return;
        }
        completer.await_shard(flush);
        let deadline = cx.now + self.deadline;
        if let Some(before) = self.queue.flush(flush, deadline) {
            completer.on_flushed(before, cx);
        }
        self.set_timer(cx.now);
    }

    /// No more requests come. What waits is still sent, and what is to be counted.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) {
        self.end_recovery(cx);
        self.deny_cache.sweep(cx.now);
        self.closed = true;
        self.set_timer(cx.now);
    }

    /// Whether it is closed, and everything is completed.
    pub(super) fn is_closed(&self) -> bool {
        let waits = self.deny_cache.is_due() || self.deny_cache.waiting() > 0;
        self.closed && !waits && self.queue.is_empty() && self.batches.is_empty()
    }

    /// Completes everything now.
    pub(super) fn abort(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        self.closed = true;
        self.end_recovery(cx);
        let error = gone();
        // Requests that these answers release are refused as well.
        self.breaker.force_open(error.clone());
        while let Some(batch) = self.batches.front() {
            let batch = self.batch_id(batch.number);
            cx.out.actions.push(Action::Abandon { batch });
            self.on_finished(batch.number, &error, completer, cx);
        }
        let (waiting, flush) = self.queue.drain();
        self.deny_cache.drop_counts();
        completer.refuse(waiting, &error, cx);
        completer.refuse(self.deny_cache.drain(), &error, cx);
        if let Some(flush) = flush {
            completer.on_flushed(flush, cx);
        }
        self.timer = None;
    }
}

fn with_deadline(
    requests: Vec<(Request, super::RequestId)>,
    deadline: Instant,
) -> impl Iterator<Item = Pending> {
    requests
        .into_iter()
        .map(move |(request, request_id)| Pending {
            request,
            request_id,
            deadline,
        })
}
