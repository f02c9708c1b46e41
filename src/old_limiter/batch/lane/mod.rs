//! Where requests gather: their queues, under a lock, and the wake-ups of the task that sends them.

mod health;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use self::health::Seen;

use crate::old_limiter::CompletionSink;
use crate::old_limiter::batch::queues::Queues;
use crate::old_limiter::batch::settler::{Settler, gone};
use crate::old_limiter::batch::told::Told;
use crate::old_limiter::batch::turn::{Load, Next, Pending, Place};
use crate::old_limiter::batch::watch::{Launched, Watch};
use crate::old_limiter::circuit_breaker::Breaker;
use crate::old_limiter::deny_cache::{DenyCache, SWEEP};
use crate::store::{Request, StoreError};

/// The requests of one limiter to one shard of the store.
pub(super) struct Lane<K: CompletionSink> {
    pub(super) shard: usize,
    state: Mutex<State<K>>,
    /// Wakes the task that sends batches.
    pub(super) changed: Notify,
    /// Told when the breaker opens.
    pub(super) opened: Notify,
    pub(super) settler: Arc<Settler<K>>,
    pub(super) denied: DenyCache<K::RequestId>,
    /// The time within which a request is settled.
    pub(super) timeout: Duration,
}

struct State<K: CompletionSink> {
    queues: Queues<K::RequestId, Arc<Told<K>>>,
    breaker: Breaker,
    /// The store is being found again, or told.
    recovering: bool,
    watch: Watch,
    /// When the denied cache is due to be swept, while there is something in it.
    sweep: Option<Instant>,
    /// No more will come.
    closed: bool,
    /// The task has ended.
    ended: bool,
}

impl<K: CompletionSink> Lane<K> {
    pub(super) fn new(
        shard: usize,
        settler: Arc<Settler<K>>,
        denied: DenyCache<K::RequestId>,
        timeout: Duration,
    ) -> Self {
        Self {
            shard,
            settler,
            denied,
            timeout,
            state: Mutex::new(State {
                queues: Queues::new(timeout),
                breaker: Breaker::new(timeout),
                recovering: false,
                watch: Watch::default(),
                sweep: None,
                closed: false,
                ended: false,
            }),
            changed: Notify::new(),
            opened: Notify::new(),
        }
    }

    /// Takes a request in, and ahead of it what is to be counted first.
    pub(super) fn enter(
        &self,
        counts: Vec<(Request, K::RequestId)>,
        pending: Pending<K::RequestId>,
    ) -> Place<K::RequestId> {
        let mut state = self.state.lock();
        if let Some(error) = state.refuses() {
            return Place::Refused(pending, error);
        }
        let alone = counts.is_empty();
        let queues = &mut state.queues;
        queues.wait(pendings(counts, pending.deadline));
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
    pub(super) fn queue(&self, pending: Pending<K::RequestId>) {
        let mut state = self.state.lock();
        if let Some(error) = state.refuses() {
            state.queues.leave(Load::Requests(1));
            drop(state);
            self.refuse(vec![pending], &error);
            return;
        }
        state.queues.take_back(pending);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes in requests that have waited in the denied cache, some of their time being over.
    pub(super) fn ask(&self, released: Vec<Pending<K::RequestId>>) {
        if released.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(error) = state.refuses() {
            drop(state);
            self.refuse(released, &error);
            return;
        }
        released
            .into_iter()
            .for_each(|pending| state.queues.insert(pending));
        drop(state);
        self.changed.notify_one();
    }

    /// Settles requests that are not asked, because of `error`.
    pub(super) fn refuse(&self, batch: Vec<Pending<K::RequestId>>, error: &StoreError) {
        let requests = batch.iter().map(|pending| &pending.request);
        let waiting = self.denied.on_unsent(requests);
        self.settler.refuse(batch, error);
        // Nothing waits for these.
        self.ask(waiting);
    }

    /// A batch has been launched that has no task.
    pub(super) fn watch(&self, launched: Launched) {
        let mut state = self.state.lock();
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

    /// A batch is no longer under way, but for `strays` of it, and this has been seen of the store; `sweep`: there is something
    /// in the denied cache.
    pub(super) fn landed(&self, load: Load, strays: usize, sweep: bool, seen: Seen, sent: Instant) {
        let mut state = self.state.lock();
        state.queues.landed(load, strays, sent);
        self.after(state, sweep, seen);
    }

    /// Some of the strays have been settled.
    pub(super) fn strayed(&self, count: usize, sweep: bool, seen: Seen) {
        let mut state = self.state.lock();
        state.queues.settled(count);
        self.after(state, sweep, seen);
    }

    fn after(&self, mut state: MutexGuard<'_, State<K>>, sweep: bool, seen: Seen) {
        let mut wake = !state.queues.is_empty() || self.denied.is_due() || self.is_noted();
        if sweep && state.sweep.is_none() {
            state.sweep = Some(Instant::now() + SWEEP);
            wake = true;
        }
        self.look(state, seen);
        if wake {
            self.changed.notify_one();
        }
    }

    /// What the task does next. What it is to send counts as under way.
    pub(super) fn next(&self, now: Instant) -> Next<K::RequestId, Arc<Told<K>>> {
        let mut state = self.state.lock();
        let noted = self.is_noted();
        let telling = noted && state.breaker.is_healthy();
        if !state.closed && !state.recovering && (noted || state.breaker.reason().is_some()) {
            state.recovering = true;
            return Next::Recover;
        }
        if state.breaker.reason().is_some() {
            self.denied.drop_counts();
        }
        let due = |most| {
            let counts = self.denied.take_counts(most);
            pendings(counts, now + self.timeout).collect()
        };
        if let Some(next) = state.queues.next(now, due, telling) {
            return next;
        }
        let launched = state.watch.due();
        let idle = || !self.denied.is_due() && self.denied.waiting() == 0;
        if state.closed && launched.is_none() && state.queues.is_empty() && idle() {
            return Next::End;
        }
        let dues = [launched, state.sweep, state.queues.deadline()];
        Next::Wait(dues.into_iter().flatten().min())
    }

    /// Counts what the denied cache has answered, when that is due.
    pub(super) fn sweep(&self, now: Instant) {
        let mut state = self.state.lock();
        if state.sweep.is_some_and(|due| due <= now) {
            state.sweep = self.denied.sweep(now).then(|| now + SWEEP);
        }
    }

    /// Counts all that the denied cache has answered, has the store told of what was decided here, and holds `told` until then.
    /// `false`: there is nothing to wait for.
    pub(super) fn flush(&self, told: &Arc<Told<K>>, now: Instant) -> bool {
        let mut state = self.state.lock();
        self.denied.sweep(now);
        let telling = self.is_noted() && state.breaker.is_healthy();
        let busy = self.denied.is_due() || state.queues.is_counting() || telling;
        if state.ended || state.breaker.reason().is_some() || !busy {
            return false;
        }
        let before = state.queues.tell(Arc::clone(told), now + self.timeout);
        drop(state);
        drop(before);
        self.changed.notify_one();
        true
    }

    /// Settles what was launched if its deadline has passed.
    pub(super) fn expire(&self, now: Instant) {
        let due = self.state.lock().watch.take_due(now);
        if let Some(launched) = due {
            launched.expire(now);
        }
    }

    /// No more requests will come. What waits is still sent, and what is to be counted.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        self.denied.sweep(Instant::now());
        state.closed = true;
        drop(state);
        self.changed.notify_one();
    }

    /// The task has ended, and with it the runtime perhaps. What waits, here or for an answer, is given up.
    pub(super) fn end(&self) {
        let ((left, told), launched) = {
            let mut state = self.state.lock();
            state.ended = true;
            (state.queues.drain(), state.watch.take())
        };
        drop(told);
        if let Some(launched) = launched {
            launched.launch.give_up();
        }
        self.settler.refuse(left, &gone());
        self.settler.refuse(self.denied.drain(), &gone());
    }
}

fn pendings<T>(
    requests: impl IntoIterator<Item = (Request, T)>,
    deadline: Instant,
) -> impl Iterator<Item = Pending<T>> {
    requests.into_iter().map(move |(request, ticket)| Pending {
        request,
        ticket,
        deadline,
    })
}
