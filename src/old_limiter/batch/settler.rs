//! What becomes of requests once the store has, or has not, answered.

use std::sync::Arc;

use tokio::time::Instant;

use super::queues::MAX_WAITING;
use super::turn::Pending;
use crate::metrics::Metrics;
use crate::old_limiter::availability::Availability;
use crate::old_limiter::{Completion, CompletionSink, Fallback, StoreChange};
use crate::quota::{Decision, Id, Outcome};
use crate::store::{Answer, ErrorKind, Request, Source, StoreError};

/// Settles requests: with the store's answer, or with the fallback's.
pub(in crate::old_limiter) struct Settler<K: CompletionSink> {
    pub(in crate::old_limiter) fallback: Fallback,
    pub(in crate::old_limiter) sink: K,
    pub(in crate::old_limiter) metrics: Arc<Metrics>,
    /// The shard of the store that has to hear of an id.
    pub(in crate::old_limiter) shard_of: Box<dyn Fn(&Id) -> usize + Send + Sync>,
    /// Host and port of a shard's primary.
    pub(in crate::old_limiter) primary_of: Box<dyn Fn(usize) -> Option<String> + Send + Sync>,
    /// Which shards are away.
    pub(in crate::old_limiter) availability: Availability,
}

impl<K: CompletionSink> Settler<K> {
    /// Settles those of the requests that still have a ticket, in order, with `results`.
    pub(super) fn settle<'a>(
        &self,
        asked: impl Iterator<Item = (&'a Request, Option<K::RequestId>)>,
        results: Vec<Result<Outcome, StoreError>>,
    ) {
        // A store that answered too little would otherwise leave promises open for ever.
        let results = results
            .into_iter()
            .chain(std::iter::repeat_with(|| Err(left_out())));
        let now = Instant::now();
        let answer = |((request, ticket), result)| -> Option<Completion<'_, _>> {
            let ticket = ticket?;
            let answer = match result {
                Ok(outcome) => {
                    self.fallback.on_decision(request, &outcome);
                    let source = Source::Redis;
                    let answer = Answer { outcome, source };
                    self.metrics
                        .on_answer(request, K::label(&ticket), &answer, now.into_std());
                    Ok(answer)
                }
                Err(error) => self.instead(request, &ticket, error, now),
            };
            Some((request, ticket, answer))
        };
        let answers: Vec<_> = asked.zip(results).filter_map(answer).collect();
        if !answers.is_empty() {
            self.sink.complete(answers);
        }
    }

    /// The answer to a request that is denied without asking the store.
    pub(super) fn repeat(
        &self,
        pending: Pending<K::RequestId>,
        decision: Decision,
        now: Instant,
    ) -> (Request, K::RequestId, Answer) {
        let answer = Answer {
            outcome: Outcome::of(decision),
            source: Source::DenyCache,
        };
        let Pending {
            request, ticket, ..
        } = pending;
        self.metrics
            .on_answer(&request, K::label(&ticket), &answer, now.into_std());
        (request, ticket, answer)
    }

    /// Settles requests that are denied without asking the store.
    pub(super) fn repeat_all(&self, denied: Vec<(Pending<K::RequestId>, Decision)>) {
        if denied.is_empty() {
            return;
        }
        let now = Instant::now();
        let answers = denied
            .into_iter()
            .map(|(pending, decision)| self.repeat(pending, decision, now));
        let answers: Vec<_> = answers.collect();
        let deliveries = answers
            .iter()
            .map(|(request, ticket, answer)| (request, ticket.clone(), Ok(*answer)));
        self.sink.complete(deliveries.collect());
    }

    /// The answer in the place of a store that gives none.
    ///
    /// # Errors
    /// As [`Fallback::answer`].
    pub(super) fn instead(
        &self,
        request: &Request,
        ticket: &K::RequestId,
        error: StoreError,
        now: Instant,
    ) -> Result<Answer, StoreError> {
        self.metrics.on_store_error(request, &error);
        if request.op.takes_a_slot() {
            self.availability.decided();
        }
        let shard = (self.shard_of)(&request.id);
        let answer = self.fallback.answer(shard, request, error);
        match &answer {
            Ok(answer) => self
                .metrics
                .on_answer(request, K::label(ticket), answer, now.into_std()),
            Err(_) => self.metrics.on_failure(request),
        }
        answer
    }

    /// The breaker of `shard` is open, because of `error`. Called under the lock of its lane, so that it is told before the
    /// breaker closes again.
    pub(super) fn opened(&self, shard: usize, error: &StoreError) {
        let now = Instant::now();
        let opened = self.availability.opened(shard, now, || {
            self.metrics.on_store_away(now.into_std());
            self.sink.store_changed(StoreChange::Away {
                code: error.code(),
                shard: (self.primary_of)(shard),
            });
        });
        if opened {
            self.metrics.on_breaker_opened();
        }
    }

    /// The breaker of `shard` is closed. Called under the lock of its lane.
    pub(super) fn closed(&self, shard: usize) {
        let now = Instant::now();
        self.availability.closed(shard, now, |lasted, decided| {
            self.metrics.on_store_back(now.into_std());
            let change = StoreChange::Back { lasted, decided };
            self.sink.store_changed(change);
        });
    }

    /// The limiter is closed.
    pub(super) fn leave(&self) {
        if self.availability.close() {
            self.metrics.on_store_back(Instant::now().into_std());
        }
    }

    /// Settles requests that are not asked, because of `error`.
    pub(super) fn refuse(&self, batch: Vec<Pending<K::RequestId>>, error: &StoreError) {
        let results = vec![Err(error.clone()); batch.len()];
        let (requests, tickets): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|p| (p.request, Some(p.ticket)))
            .unzip();
        self.settle(requests.iter().zip(tickets), results);
    }
}

/// Why a request is not answered in time.
pub(super) fn late() -> StoreError {
    let message = "the store did not answer within the deadline";
    StoreError::new(ErrorKind::Timeout, message)
}

/// Why a request is not answered with the others.
pub(super) fn left_out() -> StoreError {
    StoreError::new(ErrorKind::Protocol, "the store left out an answer")
}

/// Why a request is not even sent.
pub(super) fn overloaded() -> StoreError {
    let message = format!("{MAX_WAITING} requests wait for the store already");
    StoreError::new(ErrorKind::Overloaded, message)
}

/// Why a shard of the store is not asked yet.
pub(super) fn untold() -> StoreError {
    let message = "the store has not been told yet what was decided without it";
    StoreError::new(ErrorKind::Timeout, message)
}

/// Why a request is never answered.
pub(super) fn gone() -> StoreError {
    let message = "the request was given up: its I/O task has ended";
    StoreError::new(ErrorKind::Disconnected, message)
}
