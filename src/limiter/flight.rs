//! A batch at the store. Its requests are settled exactly once: when the store answers, at the deadline, or, should the
//! task be dropped or panic, there and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::denied::Sent;
use super::lane::Lane;
use super::turn::Pending;
use super::{Answer, Delivery, Fallback, Sink, Source};
use crate::quota::Outcome;
use crate::store::{ErrorKind, Request, StoreError};

/// What settles requests once the store has, or has not, answered.
pub(super) struct Desk<K> {
    pub(super) fallback: Fallback,
    pub(super) sink: K,
}

impl<K: Sink> Desk<K> {
    /// Settles `requests`, in order, with `results`.
    fn settle(
        &self,
        requests: &[Request],
        tickets: Vec<K::Ticket>,
        results: Vec<Result<Outcome, StoreError>>,
    ) {
        // A store that answered too little would otherwise leave promises open for ever.
        let missing = || StoreError::new(ErrorKind::Protocol, "the store left out an answer");
        let results = results
            .into_iter()
            .chain(std::iter::repeat_with(|| Err(missing())));
        let answer = |((request, ticket), result)| -> Delivery<'_, _> {
            let answer = match result {
                Ok(outcome) => Ok(Answer {
                    outcome,
                    source: Source::Redis,
                }),
                Err(error) => self.fallback.answer(request, error),
            };
            (request, ticket, answer)
        };
        let asked = requests.iter().zip(tickets);
        self.sink.deliver(asked.zip(results).map(answer).collect());
    }

    /// Settles requests that will not be asked any more.
    pub(super) fn abandon(&self, batch: Vec<Pending<K::Ticket>>) {
        let (requests, tickets): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|p| (p.request, p.ticket)).unzip();
        let results = vec![Err(gone()); requests.len()];
        self.settle(&requests, tickets, results);
    }
}

/// One batch under way.
pub(super) struct Flight<K: Sink> {
    pub(super) requests: Vec<Request>,
    /// The earliest of its requests'.
    pub(super) deadline: Instant,
    sent: Sent,
    /// Taken by who settles.
    tickets: Mutex<Vec<K::Ticket>>,
    lane: Arc<Lane<K>>,
}

impl<K: Sink> Flight<K> {
    /// Must hold one request at least, which `lane` has counted as under way.
    pub(super) fn new(lane: Arc<Lane<K>>, batch: Vec<Pending<K::Ticket>>) -> Self {
        let deadline = batch.iter().map(|p| p.deadline).min();
        let (requests, tickets) = batch.into_iter().map(|p| (p.request, p.ticket)).unzip();
        Self {
            requests,
            deadline: deadline.unwrap_or_else(Instant::now),
            sent: lane.denied.sent(),
            tickets: Mutex::new(tickets),
            lane,
        }
    }

    /// The store has answered.
    pub(super) fn land(&self, results: Vec<Result<Outcome, StoreError>>) {
        let tickets = {
            let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tickets)
        };
        if tickets.is_empty() {
            return;
        }
        let asked = self.requests.iter().zip(&tickets).zip(&results);
        let answered = asked.filter_map(|((request, ticket), result)| {
            let outcome = result.as_ref().ok()?;
            Some((request, ticket.clone(), *outcome))
        });
        let sweep = self.lane.denied.learn(self.sent, answered);
        // First, so that who is answered finds the lane free.
        self.lane.landed(tickets.len(), sweep);
        self.lane.desk.settle(&self.requests, tickets, results);
    }

    /// The deadline has passed.
    pub(super) fn expire(&self) {
        let late = StoreError::new(
            ErrorKind::Timeout,
            "the store did not answer within the deadline",
        );
        self.land(vec![Err(late); self.requests.len()]);
    }
}

impl<K: Sink> Drop for Flight<K> {
    fn drop(&mut self) {
        let tickets = self
            .tickets
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if tickets.is_empty() {
            return;
        }
        self.land(vec![Err(gone()); self.requests.len()]);
    }
}

fn gone() -> StoreError {
    StoreError::new(
        ErrorKind::Disconnected,
        "the request was given up: its I/O task has ended",
    )
}
