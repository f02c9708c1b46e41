//! Completes requests: with the store's answer, or with the fallback's.

use std::sync::Arc;
use std::time::Instant;

use super::availability::{Availability, Opened};
use super::completion::{Completion, Context, RequestId};
use super::queue::{MAX_WAITING, Pending};
use super::{Fallback, StoreChange, Times};
use crate::metrics::Metrics;
use crate::planted::planted;
use crate::quota::{AnomalyStatus, Decision, Id, Outcome};
use crate::store::redis::cluster::ShardMap;
use crate::store::{Answer, ErrorKind, Op, Request, Scope, Source, StoreError};

/// What all shards of a limiter share.
pub(super) struct Completer {
    pub(super) scope: Scope,
    pub(super) times: Times,
    pub(super) fallback: Fallback,
    pub(super) metrics: Arc<Metrics>,
    /// Which shards are away.
    pub(super) availability: Availability,
    /// The owners of ids that the local logs have decided. After a change of the shard map these are not always the shards that
    /// failed.
    decided: Vec<usize>,
    /// Ids whose reset was answered. The deny caches of the other shards may hold them: a slot may have moved since.
    resets: Vec<Id>,
    flushes: Vec<Flush>,
    next_flush: u64,
}

/// Identifies a flush of a limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlushId(u64);

struct Flush {
    id: FlushId,
    request_id: RequestId,
    /// The number of shards that it waits for.
    shards: usize,
}

impl Completer {
    pub(super) fn new(
        scope: Scope,
        times: Times,
        fallback: Fallback,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            scope,
            times,
            fallback,
            metrics,
            availability: Availability::default(),
            decided: Vec::new(),
            resets: Vec::new(),
            flushes: Vec::new(),
            next_flush: 0,
        }
    }

    /// Completes those of the requests that still have a request id, in order, with `results`.
    pub(super) fn complete<'a>(
        &mut self,
        requests: impl Iterator<Item = (&'a Request, Option<RequestId>)>,
        results: Vec<Result<Outcome, StoreError>>,
        cx: &mut Context<'_>,
    ) {
        // A store that answered too little would otherwise leave requests open for ever.
        let results = results
            .into_iter()
            .chain(std::iter::repeat_with(|| Err(left_out())));
        for ((request, request_id), result) in requests.zip(results) {
            let Some(request_id) = request_id else {
                continue;
            };
            let result = match result {
                Ok(outcome) => {
                    self.fallback.on_decision(request, &outcome);
                    let source = Source::Redis;
                    let answer = Answer { outcome, source };
                    self.metrics
                        .on_answer(request, request_id.label, &answer, cx.now);
                    Ok(answer)
                }
                Err(error) => self.instead(request, request_id, error, cx),
            };
            report(request, request_id, result, cx);
        }
    }

    /// The answer to a request that is denied without asking the store.
    pub(super) fn repeat(
        &self,
        pending: Pending,
        decision: Decision,
        now: Instant,
    ) -> (Request, Answer) {
        let answer = Answer {
            outcome: Outcome::of(decision),
            source: Source::DenyCache,
        };
        let Pending {
            request,
            request_id,
            ..
        } = pending;
        self.metrics
            .on_answer(&request, request_id.label, &answer, now);
        (request, answer)
    }

    /// Completes requests that are denied without asking the store.
    pub(super) fn repeat_all(&self, denied: Vec<(Pending, Decision)>, cx: &mut Context<'_>) {
        for (pending, decision) in denied {
            let request_id = pending.request_id;
            let (request, answer) = self.repeat(pending, decision, cx.now);
            report(&request, request_id, Ok(answer), cx);
        }
    }

    /// The answer in place of a store that gives none.
    ///
    /// # Errors
    /// As [`Fallback::answer`].
    pub(super) fn instead(
        &mut self,
        request: &Request,
        request_id: RequestId,
        error: StoreError,
        cx: &Context<'_>,
    ) -> Result<Answer, StoreError> {
        self.metrics.on_store_error(request, &error);
        if request.op.takes_a_slot() {
            self.availability.decided();
        }
        let slot = ShardMap::slot_of(&self.scope.name, &request.id);
        let answer = self.fallback.answer(slot, request, error);
        let shard = cx.map.shard_of(slot);
        if self.fallback.local().is_some() && !self.decided.contains(&shard) {
            self.decided.push(shard);
        }
        match &answer {
            Ok(answer) => self
                .metrics
                .on_answer(request, request_id.label, answer, cx.now),
            Err(_) => self.metrics.on_failure(request),
        }
        answer
    }

    /// Notes the resets among requests that are being completed.
    pub(super) fn on_resets<'a, 'b>(
        &mut self,
        requests: impl Iterator<Item = (&'a Request, &'b Option<RequestId>)>,
    ) {
        let resets = requests.filter(|(request, id)| request.op == Op::Reset && id.is_some());
        self.resets
            .extend(resets.map(|(request, _)| request.id.clone()));
    }

    /// Takes one of the ids whose reset was answered.
    pub(super) fn take_reset(&mut self) -> Option<Id> {
        if planted!(ResetOfOneShard) {
            self.resets.clear();
        }
        self.resets.pop()
    }

    /// Takes one of the shards for which the local logs may have decided something.
    pub(super) fn take_decided(&mut self) -> Option<usize> {
        self.decided.pop()
    }

    /// Completes requests that are not sent, because of `error`.
    pub(super) fn refuse(&mut self, batch: Vec<Pending>, error: &StoreError, cx: &mut Context<'_>) {
        for pending in batch {
            let Pending {
                request,
                request_id,
                ..
            } = pending;
            let result = self.instead(&request, request_id, error.clone(), cx);
            report(&request, request_id, result, cx);
        }
    }

    /// The breaker of `shard` is open, because of `error`.
    pub(super) fn on_opened(&mut self, shard: usize, error: &StoreError, cx: &mut Context<'_>) {
        let opened = self.availability.opened(shard, cx.now);
        if opened == Opened::Store {
            self.metrics.on_store_away(cx.now);
            let change = StoreChange::Away {
                code: error.code(),
                shard: cx.map.primary_of(shard).map(str::to_owned),
            };
            cx.out.completions.push(Completion::StoreChanged(change));
        }
        if opened != Opened::Nothing {
            self.metrics.on_breaker_opened();
        }
    }

    /// The breaker of `shard` is closed.
    pub(super) fn on_closed(&mut self, shard: usize, cx: &mut Context<'_>) {
        if let Some((lasted, decided)) = self.availability.closed(shard, cx.now) {
            self.metrics.on_store_back(cx.now);
            let change = StoreChange::Back { lasted, decided };
            cx.out.completions.push(Completion::StoreChanged(change));
        }
    }

    /// The limiter is closed, and reports no further changes of the store.
    pub(super) fn close(&mut self, now: Instant) {
        if self.availability.close() {
            self.metrics.on_store_back(now);
        }
    }

    /// Begins a flush that waits for no shard yet.
    pub(super) fn begin_flush(&mut self, request_id: RequestId) -> FlushId {
        let id = FlushId(self.next_flush);
        self.next_flush += 1;
        self.flushes.push(Flush {
            id,
            request_id,
            shards: 0,
        });
        id
    }

    /// The flush waits for one more shard.
    pub(super) fn await_shard(&mut self, flush: FlushId) {
        let mut flushes = self.flushes.iter_mut();
        if let Some(flush) = flushes.find(|known| known.id == flush) {
            flush.shards += 1;
        }
    }

    /// Whether the flush waits for any shard. If not, it has never begun.
    pub(super) fn is_awaiting(&mut self, flush: FlushId) -> bool {
        self.flushes
            .retain(|known| known.id != flush || known.shards > 0);
        self.flushes.iter().any(|known| known.id == flush)
    }

    /// The flush waits for one shard less. After the last it completes.
    pub(super) fn on_flushed(&mut self, flush: FlushId, cx: &mut Context<'_>) {
        let Some(at) = self.flushes.iter().position(|known| known.id == flush) else {
            return;
        };
        self.flushes[at].shards -= 1;
        if self.flushes[at].shards == 0 {
            let Flush { request_id, .. } = self.flushes.remove(at);
            let flushed = Completion::Flushed { request_id };
            cx.out.completions.push(flushed);
        }
    }
}

/// Appends the completion of a request, and the anomaly that it reports. No caller waits for a count of denials: only an anomaly
/// that it reports is delivered.
pub(super) fn report(
    request: &Request,
    request_id: RequestId,
    result: Result<Answer, StoreError>,
    cx: &mut Context<'_>,
) {
    let completions = &mut cx.out.completions;
    let is_awaited = !matches!(request.op, Op::CountDenials(_));
    let answer = match result {
        Ok(answer) => answer,
        Err(error) if is_awaited => {
            return completions.push(Completion::Failed { request_id, error });
        }
        Err(_) => return,
    };
    if is_awaited {
        completions.push(Completion::Decided { request_id, answer });
    }
    let anomaly = match answer.outcome.anomaly_status {
        _ if planted!(AnomalyDropped) => None,
        AnomalyStatus::Paused(_) if planted!(AnomalyEveryDenial) => Some(1),
        status => status.anomaly(),
    };
    if let Some(requests) = anomaly {
        completions.push(Completion::Anomaly {
            request_id,
            id: request.id.clone(),
            limit: request.limit,
            requests,
        });
    }
}

/// The store has not answered in time.
pub(super) fn late() -> StoreError {
    let message = "the store did not answer within the deadline";
    StoreError::new(ErrorKind::Timeout, message)
}

/// The store has answered without this request.
pub(super) fn left_out() -> StoreError {
    StoreError::new(ErrorKind::Protocol, "the store left out an answer")
}

/// The request is not even sent.
pub(super) fn overloaded() -> StoreError {
    let message = format!("{MAX_WAITING} requests wait for the store already");
    StoreError::new(ErrorKind::Overloaded, message)
}

/// The shard is not asked before the replay.
pub(super) fn not_replayed() -> StoreError {
    let message = "the store does not know yet what was decided without it";
    StoreError::new(ErrorKind::Timeout, message)
}

/// The limiter has ended.
pub(super) fn gone() -> StoreError {
    let message = "the request was given up: the limiter has ended";
    StoreError::new(ErrorKind::Disconnected, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::limiter::{Local, OnStoreError, Output};
    use crate::quota::{Namespace, Rules, Window};

    /// A later flush takes the place of an earlier one in a shard; each completes once, after its last shard.
    #[test]
    fn a_flush_completes_after_its_last_shard() {
        let window = Window::new(1000).expect("a window");
        let rules = Rules {
            window,
            anomaly: None,
        };
        let scope = Scope {
            name: Namespace::new("t").expect("a name"),
            rules,
        };
        let fallback = Fallback::new(OnStoreError::Open, rules, Local::default());
        let metrics = Arc::new(Metrics::new(window));
        let mut completer = Completer::new(scope, Duration::from_secs(1).into(), fallback, metrics);
        let (map, mut random) = (ShardMap::one(None), fastrand::Rng::with_seed(0));
        let mut out = Output::default();
        let mut cx = Context {
            map: &map,
            now: Instant::now(),
            random: &mut random,
            out: &mut out,
        };
        let request_id = |slot| RequestId { slot, label: 0 };
        let first = completer.begin_flush(request_id(1));
        completer.await_shard(first);
        completer.await_shard(first);
        assert!(completer.is_awaiting(first));
        let second = completer.begin_flush(request_id(2));
        assert!(!completer.is_awaiting(second));
        completer.on_flushed(second, &mut cx);
        completer.on_flushed(first, &mut cx);
        assert!(cx.out.completions.is_empty());
        completer.on_flushed(first, &mut cx);
        assert!(matches!(
            cx.out.completions[..],
            [Completion::Flushed { request_id }] if request_id.slot == 1
        ));
    }
}
