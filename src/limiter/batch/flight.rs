//! A batch at the store. Each of its requests is settled exactly once: when the store answers, at its own deadline, or,
//! should the task be dropped or panic, there and then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::lane::{Lane, Seen};
use super::settler::{gone, late};
use super::turn::{Load, Pending};
use super::watch::Expire;
use crate::limiter::Sink;
use crate::limiter::denied::{Answered, Sent};
use crate::quota::Outcome;
use crate::store::{Request, StoreError};

/// One batch under way.
pub(super) struct Flight<K: Sink> {
    pub(super) requests: Vec<Request>,
    load: Load,
    deadlines: Vec<Instant>,
    sent: Sent,
    /// `None`: that request has been settled. Empty: the batch is no longer under way.
    tickets: Mutex<Vec<Option<K::Ticket>>>,
    lane: Arc<Lane<K>>,
}

impl<K: Sink> Flight<K> {
    /// `lane` has counted the batch as under way.
    pub(super) fn new(lane: Arc<Lane<K>>, load: Load, batch: Vec<Pending<K::Ticket>>) -> Self {
        let deadlines = batch.iter().map(|pending| pending.deadline).collect();
        if let Load::Requests(count) = load {
            lane.settler.meter.sent(count);
        }
        let asked = batch.into_iter().map(|p| (p.request, Some(p.ticket)));
        let (requests, tickets) = asked.unzip();
        Self {
            requests,
            load,
            deadlines,
            sent: lane.denied.sent(),
            tickets: Mutex::new(tickets),
            lane,
        }
    }

    /// When the next of its requests has to be settled, unless all are.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let tickets = self.tickets();
        let open = self.deadlines.iter().zip(tickets.iter());
        open.filter_map(|(&deadline, ticket)| ticket.as_ref().map(|_| deadline))
            .min()
    }

    /// The store has answered.
    pub(super) fn land(&self, results: Vec<Result<Outcome, StoreError>>) {
        let tickets = std::mem::take(&mut *self.tickets());
        if tickets.is_empty() {
            return;
        }
        let asked = self.requests.iter().zip(&tickets).zip(&results);
        let answered = asked.filter_map(|((request, ticket), result)| {
            Some((request, ticket.as_ref()?, result.as_ref().ok().copied()))
        });
        let sweep = self.lane.denied.learn(self.answered(), answered);
        // What failed as a whole met a store that is away, and nobody waits for the others.
        if self.load == Load::Counts && results.iter().all(Result::is_err) {
            self.lane.denied.drop_counts();
        }
        // First, so that who is answered finds the lane free.
        let seen = self.seen(&results);
        if let (Seen::Answer(at), Load::Requests(_)) = (&seen, self.load) {
            let time = at.saturating_duration_since(self.sent.at);
            self.lane.settler.meter.landed(time);
        }
        self.lane.landed(self.load, sweep, seen, self.sent.at);
        let asked = self.requests.iter().zip(tickets);
        self.lane.settler.settle(self.lane.part, asked, results);
        self.lane.noted();
    }

    /// What the results say of the store: that it is away, if none says anything else.
    fn seen(&self, results: &[Result<Outcome, StoreError>]) -> Seen {
        let at = Instant::now();
        match results.first() {
            Some(Err(error)) if results.iter().all(says_away) => Seen::Failure {
                sent: self.sent.at,
                at,
                error: error.clone(),
            },
            _ => Seen::Answer(at),
        }
    }

    /// Its answer, which is just coming.
    fn answered(&self) -> Answered {
        Answered {
            sent: self.sent,
            received: Instant::now(),
            delivery: self.lane.settler.sink.next_delivery(),
        }
    }

    fn tickets(&self) -> MutexGuard<'_, Vec<Option<K::Ticket>>> {
        // Nothing panics while they are being taken.
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Sink> Expire for Flight<K> {
    fn expire(&self, now: Instant) {
        let mut tickets = self.tickets();
        let taken = self.deadlines.iter().zip(tickets.iter_mut());
        let taken: Vec<_> = taken
            .map(|(deadline, ticket)| ticket.take_if(|_| *deadline <= now))
            .collect();
        let over = !tickets.is_empty() && tickets.iter().all(Option::is_none);
        if over {
            tickets.clear();
        }
        drop(tickets);
        let asked = self.requests.iter().zip(&taken);
        let unknown = asked.filter_map(|(request, ticket)| Some((request, ticket.as_ref()?, None)));
        let sweep = self.lane.denied.learn(self.answered(), unknown);
        if self.load == Load::Counts {
            self.lane.denied.drop_counts();
        }
        let seen = if self.lane.is_telling(self.sent.at, now) {
            Seen::Failure {
                sent: self.sent.at,
                at: Instant::now(),
                error: late(),
            }
        } else {
            Seen::Nothing
        };
        if over {
            if let Load::Requests(_) = self.load {
                // Left out, the slowest would be those that nobody sees.
                let time = now.saturating_duration_since(self.sent.at);
                self.lane.settler.meter.landed(time);
            }
            self.lane.landed(self.load, sweep, seen, self.sent.at);
        } else {
            self.lane.seen(seen);
        }
        let results = vec![Err(late()); self.requests.len()];
        let asked = self.requests.iter().zip(taken);
        self.lane.settler.settle(self.lane.part, asked, results);
        self.lane.noted();
    }
}

fn says_away<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if error.means_away())
}

impl<K: Sink> Drop for Flight<K> {
    fn drop(&mut self) {
        self.land(vec![Err(gone()); self.requests.len()]);
    }
}
