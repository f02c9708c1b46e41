//! A batch at the store. Each of its requests is settled exactly once: when the store answers, at its own deadline, or,
//! should the task be dropped or panic, there and then.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::lane::{Lane, Seen};
use super::settler::{gone, late};
use super::turn::{Load, Pending};
use super::watch::Expire;
use crate::old_limiter::CompletionSink;
use crate::old_limiter::deny_cache::{BatchTimes, Sent};
use crate::quota::Outcome;
use crate::store::{Request, StoreError};

/// One batch under way.
pub(super) struct Flight<K: CompletionSink> {
    pub(super) requests: Vec<Request>,
    load: Load,
    deadlines: Vec<Instant>,
    sent: Sent,
    progress: Mutex<Progress<K::RequestId>>,
    lane: Arc<Lane<K>>,
}

/// What has become of a batch so far.
struct Progress<T> {
    /// `None`: that request has been settled.
    tickets: Vec<Option<T>>,
    /// How many have not been.
    open: usize,
    /// The lane counts it as under way: nothing has come back. What is left after that is on its way between the nodes of a
    /// cluster, and keeps nobody here waiting.
    under_way: bool,
    /// The shard that was asked is there: it has answered.
    heard: bool,
    /// Why it may not be.
    error: Option<StoreError>,
}

impl<K: CompletionSink> Flight<K> {
    /// `lane` has counted the batch as under way.
    pub(super) fn new(lane: Arc<Lane<K>>, load: Load, batch: Vec<Pending<K::RequestId>>) -> Self {
        let deadlines = batch.iter().map(|pending| pending.deadline).collect();
        if let Load::Requests(count) = load {
            lane.settler.metrics.on_batch_sent(count);
        }
        let asked = batch.into_iter().map(|p| (p.request, Some(p.ticket)));
        let (requests, tickets): (Vec<_>, Vec<_>) = asked.unzip();
        Self {
            load,
            deadlines,
            sent: lane.denied.sent(),
            progress: Mutex::new(Progress {
                open: tickets.len(),
                tickets,
                under_way: true,
                heard: false,
                error: None,
            }),
            requests,
            lane,
        }
    }

    /// When the next of its requests has to be settled, unless all are.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let progress = self.progress.lock();
        let open = self.deadlines.iter().zip(&progress.tickets);
        open.filter_map(|(&deadline, ticket)| ticket.as_ref().map(|_| deadline))
            .min()
    }

    /// Whether something has come back and something is left: the lane does not wait for that any more.
    pub(super) fn is_astray(&self) -> bool {
        let progress = self.progress.lock();
        !progress.under_way && progress.open > 0
    }

    /// The store has answered some, or all.
    pub(super) fn land(&self, places: &[usize], results: Vec<Result<Outcome, StoreError>>) {
        let at = Instant::now();
        let mut progress = self.progress.lock();
        if progress.open == 0 {
            return;
        }
        let take = |&place: &usize| progress.tickets.get_mut(place).and_then(Option::take);
        let tickets: Vec<_> = places.iter().map(take).collect();
        let settled = tickets.iter().flatten().count();
        progress.open -= settled;
        let left = progress.open;
        let under_way = std::mem::replace(&mut progress.under_way, false);
        let seen = progress.see(&results, self.sent.at, at);
        let heard = progress.heard;
        drop(progress);
        let asked = || places.iter().filter_map(|&place| self.requests.get(place));
        // Those that the store has left out are not answered either.
        let outcomes = results.iter().map(|result| result.as_ref().ok().copied());
        let outcomes = outcomes.chain(std::iter::repeat(None));
        let answered = asked().zip(&tickets).zip(outcomes);
        let answered = answered
            .filter_map(|((request, ticket), outcome)| Some((request, ticket.as_ref()?, outcome)));
        let (sweep, released) = self.lane.denied.insert(self.answered(), answered);
        // What failed as a whole met a store that is away, and nobody waits for the others.
        if self.load == Load::Counts && left == 0 && !heard {
            self.lane.denied.drop_counts();
        }
        if let (Seen::Answer(at), Load::Requests(_)) = (&seen, self.load) {
            let time = at.saturating_duration_since(self.sent.at);
            self.lane.settler.metrics.on_batch_done(time);
        }
        // First, so that who is answered finds the lane free.
        if under_way {
            self.lane.landed(self.load, left, sweep, seen, self.sent.at);
        } else {
            self.lane.strayed(settled, sweep, seen);
        }
        self.lane.ask(released.send);
        self.lane.settler.settle(asked().zip(tickets), results);
        self.lane.settler.repeat_all(released.denied);
        self.lane.noted();
    }

    /// Nothing more will come: what has not been answered never will be, because of `error`.
    pub(super) fn finish(&self, error: &StoreError) {
        let open = |(place, ticket): (usize, &Option<K::RequestId>)| ticket.as_ref().map(|_| place);
        let left: Vec<_> = self
            .progress
            .lock()
            .tickets
            .iter()
            .enumerate()
            .filter_map(open)
            .collect();
        if !left.is_empty() {
            self.land(&left, vec![Err(error.clone()); left.len()]);
        }
    }

    /// Its answer, which is just coming.
    fn answered(&self) -> BatchTimes {
        BatchTimes {
            sent: self.sent,
            received: Instant::now(),
        }
    }
}

impl<T> Progress<T> {
    /// What the results say of the store: that it is away, if none has said anything else by the last.
    fn see(&mut self, results: &[Result<Outcome, StoreError>], sent: Instant, at: Instant) -> Seen {
        let before = self.heard;
        self.heard |= !results.iter().all(says_away) || results.is_empty();
        if let Some(Err(error)) = results.first() {
            self.error.get_or_insert_with(|| error.clone());
        }
        match &self.error {
            _ if before => Seen::Nothing,
            _ if self.heard => Seen::Answer(at),
            Some(error) if self.open == 0 => Seen::Failure {
                sent,
                at,
                error: error.clone(),
            },
            _ => Seen::Nothing,
        }
    }
}

impl<K: CompletionSink> Expire for Flight<K> {
    fn expire(&self, now: Instant) {
        let mut progress = self.progress.lock();
        let due = self.deadlines.iter().zip(progress.tickets.iter_mut());
        let taken: Vec<_> = due
            .map(|(deadline, ticket)| ticket.take_if(|_| *deadline <= now))
            .collect();
        let settled = taken.iter().flatten().count();
        progress.open -= settled;
        let over = progress.open == 0 && settled > 0;
        let under_way = progress.under_way;
        progress.under_way &= !over;
        let heard = progress.heard;
        drop(progress);
        let asked = self.requests.iter().zip(&taken);
        let unknown = asked.filter_map(|(request, ticket)| Some((request, ticket.as_ref()?, None)));
        let (sweep, released) = self.lane.denied.insert(self.answered(), unknown);
        if self.load == Load::Counts {
            self.lane.denied.drop_counts();
        }
        // What is late after a word of the shard that was asked is so because of another.
        let seen = if !heard && self.lane.is_telling(self.sent.at, now) {
            Seen::Failure {
                sent: self.sent.at,
                at: Instant::now(),
                error: late(),
            }
        } else {
            Seen::Nothing
        };
        if over && under_way {
            if let Load::Requests(_) = self.load {
                // Left out, the slowest would be those that nobody sees.
                let time = now.saturating_duration_since(self.sent.at);
                self.lane.settler.metrics.on_batch_done(time);
            }
            self.lane.landed(self.load, 0, sweep, seen, self.sent.at);
        } else if under_way {
            self.lane.seen(seen);
        } else {
            self.lane.strayed(settled, sweep, seen);
        }
        self.lane.ask(released.send);
        let results = vec![Err(late()); self.requests.len()];
        let asked = self.requests.iter().zip(taken);
        self.lane.settler.settle(asked, results);
        self.lane.noted();
    }
}

/// Whether it is an error of a store that is away.
pub(super) fn says_away<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(error) if error.is_unavailable())
}

impl<K: CompletionSink> Drop for Flight<K> {
    fn drop(&mut self) {
        self.finish(&gone());
    }
}
