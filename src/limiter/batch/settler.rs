//! What becomes of requests once the store has, or has not, answered.

use super::queues::MAX_WAITING;
use super::turn::Pending;
use crate::limiter::{Answer, Delivery, Fallback, Sink, Source};
use crate::quota::Outcome;
use crate::store::{ErrorKind, Request, StoreError};

/// Settles requests: with the store's answer, or with the fallback's.
pub(super) struct Settler<K> {
    pub(super) fallback: Fallback,
    pub(super) sink: K,
}

impl<K: Sink> Settler<K> {
    /// Settles those of the requests that still have a ticket, in order, with `results`.
    pub(super) fn settle<'a>(
        &self,
        asked: impl Iterator<Item = (&'a Request, Option<K::Ticket>)>,
        results: Vec<Result<Outcome, StoreError>>,
    ) {
        // A store that answered too little would otherwise leave promises open for ever.
        let missing = || StoreError::new(ErrorKind::Protocol, "the store left out an answer");
        let results = results
            .into_iter()
            .chain(std::iter::repeat_with(|| Err(missing())));
        let answer = |((request, ticket), result)| -> Option<Delivery<'_, _>> {
            let ticket = ticket?;
            let answer = match result {
                Ok(outcome) => {
                    self.fallback.answered(request);
                    Ok(Answer {
                        outcome,
                        source: Source::Redis,
                    })
                }
                Err(error) => self.fallback.answer(request, error),
            };
            Some((request, ticket, answer))
        };
        let answers: Vec<_> = asked.zip(results).filter_map(answer).collect();
        if !answers.is_empty() {
            self.sink.deliver(answers);
        }
    }

    /// Settles requests that are not asked, because of `error`.
    pub(super) fn refuse(&self, batch: Vec<Pending<K::Ticket>>, error: &StoreError) {
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

/// Why a request is not even sent.
pub(super) fn overloaded() -> StoreError {
    let message = format!("{MAX_WAITING} requests wait for the store already");
    StoreError::new(ErrorKind::Overloaded, message)
}

/// Why a request is never answered.
pub(super) fn gone() -> StoreError {
    let message = "the request was given up: its I/O task has ended";
    StoreError::new(ErrorKind::Disconnected, message)
}
