//! Group commit: whatever has gathered when the I/O task looks travels in one round trip.
//!
//! An idle limiter sends a batch of one at once; under load the time the task needs for one batch is the time in which
//! the next one gathers. There is no timer and nothing waits to fill a batch.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::unconstrained;
use tokio::time::timeout_at;

use super::{Answer, Delivery, Fallback, Sink, Source};
use crate::quota::Outcome;
use crate::store::{ErrorKind, Request, Scope, Store, StoreError};

/// The most requests one script call decides. The server does nothing else meanwhile: at 2 to 4 us a request, this is
/// at most a quarter of a millisecond, no more than a few of other clients' commands.
pub const MAX_BATCH: usize = 64;

/// A request on its way.
pub(super) struct Pending<T> {
    pub(super) request: Request,
    pub(super) ticket: T,
    pub(super) deadline: Instant,
}

/// The near end of the queue. Dropping it lets what is queued settle and then ends the task.
pub(super) struct Batcher<K: Sink> {
    queue: UnboundedSender<Pending<K::Ticket>>,
    desk: Arc<Desk<K>>,
}

/// What settles requests once the store has, or has not, answered.
struct Desk<K> {
    fallback: Fallback,
    sink: K,
}

impl<K: Sink> Batcher<K> {
    pub(super) fn start<S: Store>(
        runtime: &Handle,
        store: Arc<S>,
        scope: Scope,
        fallback: Fallback,
        sink: K,
    ) -> Self {
        let (sender, receiver) = unbounded_channel();
        let desk = Arc::new(Desk { fallback, sink });
        let queue = Queue {
            receiver,
            desk: Arc::clone(&desk),
        };
        runtime.spawn(dispatch(queue, store, Arc::new(scope)));
        Self {
            queue: sender,
            desk,
        }
    }

    pub(super) fn push(&self, pending: Pending<K::Ticket>) {
        if let Err(rejected) = self.queue.send(pending) {
            self.desk.abandon(vec![rejected.0]);
        }
    }
}

impl<K: Sink> Desk<K> {
    fn settle(
        &self,
        batch: Vec<Pending<K::Ticket>>,
        results: impl Iterator<Item = Result<Outcome, StoreError>>,
    ) {
        let answer = |(pending, result): (Pending<K::Ticket>, Result<_, _>)| -> Delivery<_> {
            let answer = match result {
                Ok(outcome) => Ok(Answer {
                    outcome,
                    source: Source::Redis,
                }),
                Err(error) => self.fallback.answer(&pending.request, error),
            };
            (pending.request, pending.ticket, answer)
        };
        // A store that answered too little would otherwise leave promises open for ever.
        let missing = || StoreError::new(ErrorKind::Protocol, "the store left out an answer");
        let results = results.chain(std::iter::repeat_with(|| Err(missing())));
        self.sink
            .deliver(batch.into_iter().zip(results).map(answer).collect());
    }

    /// Settles requests that will not be asked any more.
    fn abandon(&self, batch: Vec<Pending<K::Ticket>>) {
        let gone = StoreError::new(
            ErrorKind::Disconnected,
            "the request was given up: its I/O task has ended",
        );
        self.settle(batch, std::iter::repeat_with(|| Err(gone.clone())));
    }
}

/// The far end of the queue. Every request in it is answered, also when the runtime ends first.
struct Queue<K: Sink> {
    receiver: UnboundedReceiver<Pending<K::Ticket>>,
    desk: Arc<Desk<K>>,
}

impl<K: Sink> Drop for Queue<K> {
    fn drop(&mut self) {
        self.receiver.close();
        let mut left = Vec::new();
        loop {
            // Not `try_recv`: it says "empty" while a push that began before the close is still under way. Outside the
            // task's budget, or `recv` could decline for reasons of fairness.
            match unconstrained(self.receiver.recv()).now_or_never() {
                Some(Some(pending)) => left.push(pending),
                Some(None) => break,
                None => std::thread::yield_now(),
            }
        }
        if !left.is_empty() {
            self.desk.abandon(left);
        }
    }
}

/// A batch at the store. Its requests are answered when the store does, at the deadline, or, should the task be dropped
/// or panic, there and then.
struct Batch<K: Sink> {
    pending: Vec<Pending<K::Ticket>>,
    desk: Arc<Desk<K>>,
}

impl<K: Sink> Drop for Batch<K> {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.desk.abandon(std::mem::take(&mut self.pending));
        }
    }
}

async fn dispatch<S: Store, K: Sink>(mut queue: Queue<K>, store: Arc<S>, scope: Arc<Scope>) {
    loop {
        let mut pending = Vec::new();
        if queue.receiver.recv_many(&mut pending, MAX_BATCH).await == 0 {
            return;
        }
        let batch = Batch {
            pending,
            desk: Arc::clone(&queue.desk),
        };
        tokio::spawn(travel(batch, Arc::clone(&store), Arc::clone(&scope)));
    }
}

async fn travel<S: Store, K: Sink>(mut batch: Batch<K>, store: Arc<S>, scope: Arc<Scope>) {
    let Some(deadline) = batch.pending.iter().map(|p| p.deadline).min() else {
        return;
    };
    let requests: Vec<Request> = batch.pending.iter().map(|p| p.request.clone()).collect();
    let answer = timeout_at(deadline.into(), store.run(&scope, &requests)).await;
    let pending = std::mem::take(&mut batch.pending);
    match answer {
        Ok(results) => batch.desk.settle(pending, results.into_iter()),
        Err(_) => {
            let late = StoreError::new(
                ErrorKind::Timeout,
                "the store did not answer within the deadline",
            );
            batch
                .desk
                .settle(pending, std::iter::repeat_with(|| Err(late.clone())));
        }
    }
}
