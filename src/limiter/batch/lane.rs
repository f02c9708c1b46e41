//! Where requests gather: their queues, under a lock, and the wake-ups of the task that sends them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::queues::Queues;
use super::settler::{Settler, gone};
use super::turn::{Load, Next, Pending, Place};
use super::watch::{Launched, Watch};
use crate::limiter::Sink;
use crate::limiter::denied::{Denied, Learned, SWEEP};
use crate::store::Request;

/// The requests of one limiter.
pub(super) struct Lane<K: Sink> {
    state: Mutex<State<K>>,
    /// Wakes the task that sends batches.
    pub(super) changed: Notify,
    pub(super) settler: Settler<K>,
    pub(super) denied: Denied<K::Ticket>,
    /// The time within which a request is settled.
    timeout: Duration,
}

struct State<K: Sink> {
    queues: Queues<K::Ticket>,
    watch: Watch,
    /// When the denied cache is due to be swept, while there is something in it.
    sweep: Option<Instant>,
    /// No more will come.
    closed: bool,
    /// The task has ended.
    ended: bool,
}

impl<K: Sink> Lane<K> {
    pub(super) fn new(settler: Settler<K>, denied: Denied<K::Ticket>, timeout: Duration) -> Self {
        Self {
            settler,
            denied,
            timeout,
            state: Mutex::new(State {
                queues: Queues::new(),
                watch: Watch::default(),
                sweep: None,
                closed: false,
                ended: false,
            }),
            changed: Notify::new(),
        }
    }

    /// Takes a request in, asked now, and ahead of it what is to be counted first.
    pub(super) fn enter(
        &self,
        counts: Vec<(Request, K::Ticket)>,
        request: Request,
        ticket: K::Ticket,
        now: Instant,
    ) -> Place<K::Ticket> {
        let deadline = now + self.timeout;
        let pending = Pending {
            request,
            ticket,
            deadline,
        };
        let mut state = self.lock();
        if state.ended {
            return Place::Ended(pending);
        }
        let alone = counts.is_empty();
        let queues = &mut state.queues;
        queues.wait(pendings(counts, deadline));
        if let Some(pending) = queues.enter(pending) {
            return Place::Free(pending);
        }
        // The others ride along; where nothing may be sent now, the next batch to land wakes the task.
        let wake = (queues.begins_or_fills() || !alone) && queues.may_send();
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Place::Queued
    }

    /// What was to leave at once could not: it waits like the others, ahead of them.
    pub(super) fn queue(&self, pending: Pending<K::Ticket>) {
        let mut state = self.lock();
        if state.ended {
            drop(state);
            self.settler.refuse(vec![pending], &gone());
            return;
        }
        state.queues.take_back(pending);
        drop(state);
        self.changed.notify_one();
    }

    /// A batch has been launched that has no task.
    pub(super) fn watch(&self, launched: Launched) {
        let mut state = self.lock();
        if state.ended {
            drop(state);
            launched.launch.give_up();
            return;
        }
        let wake = state.watch.begin(launched);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// A batch is no longer under way.
    pub(super) fn landed(&self, load: Load, learned: Learned<K::Ticket>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.queues.landed(load);
        let mut wake = !state.queues.is_empty();
        if learned.sweep && state.sweep.is_none() {
            state.sweep = Some(now + SWEEP);
            wake = true;
        }
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        self.count(learned.counts, now);
    }

    /// What the task does next. What it is to send counts as under way.
    pub(super) fn next(&self, now: Instant) -> Next<K::Ticket> {
        let mut state = self.lock();
        if let Some(next) = state.queues.next(now) {
            return next;
        }
        let deadline = state.watch.due();
        if state.closed && deadline.is_none() && state.queues.is_empty() {
            return Next::End;
        }
        Next::Wait([deadline, state.sweep].into_iter().flatten().min())
    }

    /// Counts what the denied cache has answered, when that is due.
    pub(super) fn sweep(&self, now: Instant) {
        if self.lock().sweep.is_none_or(|due| now < due) {
            return;
        }
        let (counts, more) = self.denied.sweep(now, false);
        self.lock().sweep = more.then(|| now + SWEEP);
        self.count(counts, now);
    }

    /// Counts all that the denied cache has answered. Returns the last that has not been counted yet, if there is any.
    pub(super) fn flush(&self, now: Instant) -> Option<Request> {
        let (counts, _) = self.denied.sweep(now, true);
        self.count(counts, now);
        self.lock().queues.last_count().cloned()
    }

    /// Takes in what is to be counted before the next sweep; and what is asked when that has been done.
    pub(super) fn count(&self, counts: Vec<(Request, K::Ticket)>, now: Instant) {
        if counts.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.ended {
            drop(state);
            let given_up = pendings(counts, now).collect();
            self.settler.refuse(given_up, &gone());
            return;
        }
        state.queues.count(pendings(counts, now + SWEEP));
        drop(state);
        self.changed.notify_one();
    }

    /// Settles what was launched if its deadline has passed.
    pub(super) fn expire(&self, now: Instant) {
        let due = self.lock().watch.take_due(now);
        if let Some(launched) = due {
            launched.expire(now);
        }
    }

    /// No more requests will come. What waits is still sent, and what is to be counted.
    pub(super) fn close(&self) {
        self.flush(Instant::now());
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The task has ended, and with it the runtime perhaps. What waits, here or for an answer, is given up.
    pub(super) fn end(&self) {
        let (left, launched) = {
            let mut state = self.lock();
            state.ended = true;
            (state.queues.drain(), state.watch.take())
        };
        if let Some(launched) = launched {
            launched.launch.give_up();
        }
        self.settler.refuse(left, &gone());
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Nothing panics while the state is being changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pendings<T>(requests: Vec<(Request, T)>, deadline: Instant) -> impl Iterator<Item = Pending<T>> {
    requests.into_iter().map(move |(request, ticket)| Pending {
        request,
        ticket,
        deadline,
    })
}
