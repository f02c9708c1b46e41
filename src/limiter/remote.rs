//! A limiter over a store that answers later: a state machine without I/O. It is handed requests, results and the time, and
//! appends actions and completions to an [`Output`](super::Output).
//!
//! A check that finds its shard idle is sent in the caller's call. Under load the time that the server needs for one batch is the
//! time in which the next one gathers: no timer, and nothing waits to fill a batch.

use std::sync::Arc;
use std::time::Instant;

use super::completer::{Completer, gone, left_out, not_replayed, report};
use super::completion::{BatchId, Context, RequestId};
use super::queue::Pending;
use super::shard::Shard;
use super::{Fallback, Times};
use crate::metrics::Metrics;
use crate::quota::Outcome;
use crate::store::{Answer, Op, Request, Scope, StoreError};

/// A limiter over a store that answers later. Every request is answered exactly once.
pub struct Remote {
    completer: Completer,
    /// Indexed by the numbers of the shard map; created when they are first needed.
    shards: Vec<Shard>,
    /// No later than the timer of any shard.
    timer: Option<Instant>,
    closed: bool,
}

impl Remote {
    /// A limiter over the requests of `scope`, which are answered within their deadline, by `fallback` if the store does not
    /// answer.
    pub fn new(
        scope: Scope,
        times: impl Into<Times>,
        fallback: Fallback,
        metrics: Arc<Metrics>,
        cx: &mut Context<'_>,
    ) -> Self {
        let mut remote = Self {
            completer: Completer::new(scope, times.into(), fallback, metrics),
            shards: Vec::new(),
            timer: None,
            closed: false,
        };
        remote.open_shard(0, cx);
        remote.open_pending_shards(cx);
        remote
    }

    /// The same limiter, as if no request had been made.
    pub fn restart(self, cx: &mut Context<'_>) -> Self {
        let Completer {
            scope,
            times,
            fallback,
            metrics,
            ..
        } = self.completer;
        Self::new(scope, times, fallback, metrics, cx)
    }

    /// What its requests have in common.
    pub fn scope(&self) -> &Scope {
        &self.completer.scope
    }

    /// Submits a request. It is answered in the call, which then returns the request and its answer, or by a completion.
    pub fn submit(
        &mut self,
        request: Request,
        request_id: RequestId,
        cx: &mut Context<'_>,
    ) -> Option<(Request, Answer)> {
        if self.closed {
            return self.refuse(request, request_id, cx);
        }
        let shard = cx.map.shard_of_id(&self.completer.scope.name, &request.id);
        self.open_shard(shard, cx);
        if request.op == Op::Reset {
            // The slot may have been in another shard, and may be so again.
            for at in 0..self.shards.len() {
                self.shards[at].invalidate(&request.id, &mut self.completer, cx);
                self.schedule(at);
            }
        }
        let pending = Pending {
            request,
            request_id,
            deadline: cx.now + self.completer.times.deadline,
        };
        let answer = self.shards[shard].submit(pending, &mut self.completer, cx);
        self.schedule(shard);
        self.schedule_replays(cx);
        answer
    }

    fn refuse(
        &mut self,
        request: Request,
        request_id: RequestId,
        cx: &mut Context<'_>,
    ) -> Option<(Request, Answer)> {
        match self.completer.instead(&request, request_id, gone(), cx) {
            Ok(answer) => Some((request, answer)),
            failed => {
                report(&request, request_id, failed, cx);
                None
            }
        }
    }

    /// Sends the counts of denials that the deny cache has answered. `true`: the flush completes when the store has counted them
    /// and has taken the pending replays, or when their deadline has passed. `false`: there is nothing to wait for.
    pub fn flush(&mut self, request_id: RequestId, cx: &mut Context<'_>) -> bool {
        self.open_pending_shards(cx);
        let flush = self.completer.begin_flush(request_id);
        for at in 0..self.shards.len() {
            self.shards[at].flush(flush, &mut self.completer, cx);
            self.schedule(at);
        }
        self.completer.is_awaiting(flush)
    }

    /// Some requests of a batch are answered: their indices, and a result each. Without indices: the shard has replied, if only
    /// with a redirect.
    pub fn on_results(
        &mut self,
        batch: BatchId,
        indices: &[usize],
        results: Vec<Result<Outcome, StoreError>>,
        cx: &mut Context<'_>,
    ) {
        self.change(batch.shard as usize, cx, |shard, completer, cx| {
            shard.on_results(batch.number, indices, results, completer, cx);
        });
    }

    /// Some replays of a call are answered, as in [`on_results`](Self::on_results).
    pub fn on_replayed(
        &mut self,
        batch: BatchId,
        indices: &[usize],
        results: Vec<Result<(), StoreError>>,
        cx: &mut Context<'_>,
    ) {
        self.change(batch.shard as usize, cx, |shard, completer, cx| {
            shard.on_replayed(batch.number, indices, results, completer, cx);
        });
    }

    /// Replays of a call are being sent: they may be entered from now on.
    pub fn on_sent(&mut self, batch: BatchId, indices: &[usize]) {
        if let Some(shard) = self.shards.get_mut(batch.shard as usize) {
            shard.on_replays_sent(batch.number, indices);
        }
    }

    /// A probe is answered.
    pub fn on_probed(
        &mut self,
        batch: BatchId,
        result: Result<(), StoreError>,
        cx: &mut Context<'_>,
    ) {
        self.change(batch.shard as usize, cx, |shard, completer, cx| {
            shard.on_probed(batch.number, result, completer, cx);
        });
    }

    /// Nothing more comes for a batch, a probe or a replay: what is not answered was left out. Needless after the last result.
    pub fn on_finished(&mut self, batch: BatchId, cx: &mut Context<'_>) {
        self.change(batch.shard as usize, cx, |shard, completer, cx| {
            if shard.is_recovery_call(batch.number) {
                shard.on_call_finished(batch.number, completer, cx);
            } else {
                shard.on_finished(batch.number, &left_out(), completer, cx);
            }
        });
    }

    /// There is a new connection to the shard's primary, or a new primary.
    pub fn on_connected(&mut self, shard: usize, cx: &mut Context<'_>) {
        self.change(shard, cx, |shard, _, _| shard.connections += 1);
    }

    /// The shard map has changed.
    pub fn on_map_changed(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.shards.len() {
            self.change(at, cx, |shard, _, _| shard.on_map_changed());
        }
        self.open_pending_shards(cx);
    }

    /// Does what is due: deadlines, batches that were not sent in the caller's call, counts of denials, probes and replays.
    pub fn advance(&mut self, cx: &mut Context<'_>) {
        if self.timer.is_none_or(|timer| timer > cx.now) {
            return;
        }
        loop {
            for shard in &mut self.shards {
                shard.advance(&mut self.completer, cx);
                shard.publish();
            }
            self.forget_resets(cx);
            if !self.schedule_replays(cx) {
                break;
            }
        }
        self.timer = self.shards.iter().filter_map(Shard::timer).min();
    }

    /// When [`advance`](Self::advance) is to be called next, at the latest. A moment that has passed: at once, but not in the
    /// caller's call, so that what is submitted meanwhile is sent along.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timer
    }

    /// No more requests come. What waits is still sent and completed, and no change of the store is reported.
    pub fn close(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        self.completer.close(cx.now);
        for at in 0..self.shards.len() {
            self.shards[at].close(cx);
            self.schedule(at);
        }
    }

    /// Whether it is closed, and everything is completed.
    pub fn is_closed(&self) -> bool {
        self.closed && self.shards.iter().all(Shard::is_closed)
    }

    /// Closes it at once: every request is completed now, by the fallback.
    pub fn abort(&mut self, cx: &mut Context<'_>) {
        self.closed = true;
        self.completer.close(cx.now);
        for shard in &mut self.shards {
            shard.abort(&mut self.completer, cx);
            shard.publish();
        }
        self.timer = None;
    }

    /// Changes a shard, and then sends and completes what may be sent and completed.
    fn change(
        &mut self,
        at: usize,
        cx: &mut Context<'_>,
        change: impl FnOnce(&mut Shard, &mut Completer, &mut Context<'_>),
    ) {
        if let Some(shard) = self.shards.get_mut(at) {
            change(shard, &mut self.completer, cx);
            shard.run(&mut self.completer, cx);
            self.schedule(at);
            self.forget_resets(cx);
            if self.schedule_replays(cx) {
                self.advance(cx);
            }
        }
    }

    /// Ids that were reset leave the deny caches of all shards.
    fn forget_resets(&mut self, cx: &mut Context<'_>) {
        while let Some(id) = self.completer.take_reset() {
            for at in 0..self.shards.len() {
                self.shards[at].invalidate(&id, &mut self.completer, cx);
                self.schedule(at);
            }
        }
    }

    /// What was decided here is replayed by the shards that own the ids now, whichever failed. Returns whether a replay is due at
    /// once.
    fn schedule_replays(&mut self, cx: &mut Context<'_>) -> bool {
        let mut due = false;
        while let Some(at) = self.completer.take_decided() {
            if self.closed {
                continue;
            }
            self.open_shard(at, cx);
            if !self.shards[at].is_recovering() {
                self.shards[at].set_timer(cx.now);
                self.schedule(at);
                due = true;
            }
        }
        due
    }

    /// Takes over the timer of a shard, and publishes its metrics.
    fn schedule(&mut self, at: usize) {
        let shard = &self.shards[at];
        shard.publish();
        if let Some(due) = shard.timer() {
            self.timer = Some(self.timer.map_or(due, |timer| timer.min(due)));
        }
    }

    /// Creates the shards up to this number. A shard with pending replays gets those before its first request.
    fn open_shard(&mut self, at: usize, cx: &mut Context<'_>) {
        while self.shards.len() <= at {
            let index = self.shards.len();
            let mut shard = Shard::new(index, &self.completer);
            if shard.has_pending_replays(&self.completer, cx.map) {
                shard.hold(not_replayed(), cx.now);
            }
            self.shards.push(shard);
            self.schedule(index);
        }
    }

    /// Creates the shards that have pending replays.
    fn open_pending_shards(&mut self, cx: &mut Context<'_>) {
        let Some(local) = self.completer.fallback.local() else {
            return;
        };
        let slots = local.journal.slots().into_iter();
        if let Some(last) = slots.map(|slot| cx.map.shard_of(slot)).max() {
            self.open_shard(last, cx);
        }
    }
}
