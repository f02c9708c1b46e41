//! Where requests gather, and how many are under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Sink;
use super::denied::{Denied, SWEEP};
use super::flight::{Desk, Flight};
use super::launch::Launch;
use super::turn::{Next, Pending, Place};
use crate::store::Request;

/// The most requests one script call decides. The server does nothing else meanwhile: at 2 to 5 us a request, this is
/// at most a third of a millisecond, no more than a few of other clients' commands.
pub const MAX_BATCH: usize = 64;

/// Full batches that may be under way: one that the server works on, and one that waits for it there, so that it is never
/// idle. Others that are not full wait for one to land, and gather. That does not touch small batches, together no more
/// than a full one: where Redis is far away and there is little to ask, nobody waits for another's round trip.
///
/// At 200 in flight on one machine, two gave 175,000 to 189,000 checks a second, three to six 134,000 to 177,000.
const BATCHES: usize = 2;

/// The requests of one limiter.
pub(super) struct Lane<K: Sink> {
    state: Mutex<State<K>>,
    /// Wakes the task that sends batches.
    pub(super) changed: Notify,
    pub(super) desk: Desk<K>,
    pub(super) denied: Denied<K::Ticket>,
    /// The time within which a request is settled.
    timeout: Duration,
}

struct State<K: Sink> {
    waiting: VecDeque<Pending<K::Ticket>>,
    /// Under way.
    batches: usize,
    requests: usize,
    /// The batch that was launched last, which the task watches: the others have tasks of their own.
    launched: Option<Launched<K>>,
    /// Whether the task sleeps until a deadline no later than that of what is launched next.
    watching: bool,
    /// When the denied cache is due to be swept, while there is something in it.
    sweep: Option<Instant>,
    /// No more will come.
    closed: bool,
    /// The task has ended.
    ended: bool,
}

struct Launched<K: Sink> {
    deadline: Instant,
    flight: Weak<Flight<K>>,
    launch: Arc<Launch>,
}

impl<K: Sink> Lane<K> {
    pub(super) fn new(desk: Desk<K>, denied: Denied<K::Ticket>, timeout: Duration) -> Self {
        Self {
            denied,
            timeout,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                batches: 0,
                requests: 0,
                launched: None,
                watching: false,
                sweep: None,
                closed: false,
                ended: false,
            }),
            changed: Notify::new(),
            desk,
        }
    }

    /// Takes a request in, asked now, and ahead of it, in the same batch, what is to be counted first.
    pub(super) fn enter(
        &self,
        counts: Vec<(Request, K::Ticket)>,
        request: Request,
        ticket: K::Ticket,
        now: Instant,
    ) -> Place<K::Ticket> {
        let pending = self.pending(request, ticket, now);
        let mut state = self.lock();
        if state.ended {
            return Place::Ended(pending);
        }
        let alone = counts.is_empty();
        state.waiting.extend(self.pendings(counts, now));
        if state.batches == 0 && state.waiting.is_empty() {
            state.batches = 1;
            state.requests = 1;
            return Place::Free(pending);
        }
        state.waiting.push_back(pending);
        // The others ride along; where nothing may be sent now, the next batch to land wakes the task.
        let waiting = state.waiting.len();
        let turn = waiting == 1 || waiting == MAX_BATCH || !alone;
        let wake = turn && state.may_send();
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Place::Queued
    }

    /// Takes in what nobody waits for: it leaves with the next batch.
    pub(super) fn count(&self, counts: Vec<(Request, K::Ticket)>, now: Instant) {
        if counts.is_empty() {
            return;
        }
        let mut state = self.lock();
        if !state.ended {
            state.waiting.extend(self.pendings(counts, now));
            drop(state);
            self.changed.notify_one();
        }
    }

    fn pendings(
        &self,
        counts: Vec<(Request, K::Ticket)>,
        now: Instant,
    ) -> impl Iterator<Item = Pending<K::Ticket>> {
        let counts = counts.into_iter();
        counts.map(move |(request, ticket)| self.pending(request, ticket, now))
    }

    fn pending(&self, request: Request, ticket: K::Ticket, now: Instant) -> Pending<K::Ticket> {
        Pending {
            request,
            ticket,
            deadline: now + self.timeout,
        }
    }

    /// What was to leave at once could not: it waits like the others.
    pub(super) fn queue(&self, pending: Pending<K::Ticket>) {
        let mut state = self.lock();
        state.batches -= 1;
        state.requests -= 1;
        if state.ended {
            drop(state);
            self.desk.abandon(vec![pending]);
            return;
        }
        state.waiting.push_front(pending);
        drop(state);
        self.changed.notify_one();
    }

    /// A batch has been launched that no task watches.
    pub(super) fn watch(&self, deadline: Instant, flight: Weak<Flight<K>>, launch: &Arc<Launch>) {
        let mut state = self.lock();
        // The one before has landed, or this could not have been launched.
        state.launched = Some(Launched {
            deadline,
            flight,
            launch: Arc::clone(launch),
        });
        let watching = std::mem::replace(&mut state.watching, true);
        let ended = state.ended;
        drop(state);
        if ended {
            launch.give_up();
        } else if !watching {
            self.changed.notify_one();
        }
    }

    /// A batch of so many requests is no longer under way; `sweep`: there is something in the denied cache.
    pub(super) fn landed(&self, requests: usize, sweep: bool) {
        let mut state = self.lock();
        state.batches -= 1;
        state.requests -= requests;
        let mut wake = !state.waiting.is_empty();
        if sweep && state.sweep.is_none() {
            state.sweep = Some(Instant::now() + SWEEP);
            wake = true;
        }
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// What the task does next. What it is to send counts as under way.
    pub(super) fn next(&self) -> Next<K::Ticket> {
        let mut state = self.lock();
        if !state.waiting.is_empty() && state.may_send() {
            let size = state.waiting.len().min(MAX_BATCH);
            state.batches += 1;
            state.requests += size;
            return Next::Send(state.waiting.drain(..size).collect());
        }
        let deadline = state.watched();
        state.watching = deadline.is_some();
        if state.closed && state.waiting.is_empty() && deadline.is_none() {
            return Next::End;
        }
        Next::Wait([deadline, state.sweep].into_iter().flatten().min())
    }

    /// Sends what the denied cache has answered, when that is due.
    pub(super) fn sweep(&self, now: Instant) {
        if self.lock().sweep.is_none_or(|due| now < due) {
            return;
        }
        let (counts, more) = self.denied.sweep(now, false);
        self.lock().sweep = more.then(|| now + SWEEP);
        self.count(counts, now);
    }

    /// Settles what was launched if its deadline has passed.
    pub(super) fn expire(&self, now: Instant) {
        let late = {
            let mut state = self.lock();
            match state.watched() {
                Some(deadline) if deadline > now => None,
                _ => state.launched.take(),
            }
        };
        if let Some(Launched { flight, launch, .. }) = late {
            if let Some(flight) = flight.upgrade() {
                flight.expire();
            }
            launch.give_up();
        }
    }

    /// No more requests will come. What waits is still sent, and what is to be counted.
    pub(super) fn close(&self) {
        let now = Instant::now();
        let (counts, _) = self.denied.sweep(now, true);
        self.count(counts, now);
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The task has ended, and with it the runtime perhaps. What waits, here or for an answer, is given up.
    pub(super) fn end(&self) {
        let (left, launched): (Vec<_>, _) = {
            let mut state = self.lock();
            state.ended = true;
            (state.waiting.drain(..).collect(), state.launched.take())
        };
        if let Some(Launched { launch, .. }) = launched {
            launch.give_up();
        }
        if !left.is_empty() {
            self.desk.abandon(left);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Nothing panics while the state is being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Sink> State<K> {
    fn may_send(&self) -> bool {
        let waiting = self.waiting.len();
        self.batches == 0
            || self.requests + waiting <= MAX_BATCH
            || self.batches < BATCHES && waiting >= MAX_BATCH
    }

    /// The deadline of what was launched, while it is under way.
    fn watched(&self) -> Option<Instant> {
        let launched = self.launched.as_ref()?;
        (launched.flight.strong_count() > 0).then_some(launched.deadline)
    }
}
