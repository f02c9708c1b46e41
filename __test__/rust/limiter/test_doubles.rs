//! Stores that misbehave, and a sink that keeps what it is given.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use huntaze_rate_limit::limiter::{
    Answer, Completion, CompletionSink, Fallback, Limiter, Local, OnStoreError,
};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{Clock, Count, Decision, Id, Millis, Outcome, Rules, Verdict};
use huntaze_rate_limit::store::{ErrorKind, Op, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::random_history::EPOCH;
use crate::requests::{quiet, scope};

/// What came back for one ticket.
pub type Settled = (u32, Result<Answer, StoreError>);

/// Passes on everything it is given.
#[derive(Clone)]
pub struct Collector {
    sender: UnboundedSender<Settled>,
}

impl CompletionSink for Collector {
    type RequestId = u32;

    fn complete(&self, answers: Vec<Completion<u32>>) {
        for (_, ticket, answer) in answers {
            // The test may have seen enough.
            let _ = self.sender.send((ticket, answer));
        }
    }

    fn flushed(&self, ticket: u32) {
        let nothing = StoreError::new(ErrorKind::Protocol, "counted");
        let _ = self.sender.send((ticket, Err(nothing)));
    }
}

/// A sink, and where its answers arrive.
pub fn collector() -> (Collector, UnboundedReceiver<Settled>) {
    let (sender, receiver) = unbounded_channel();
    (Collector { sender }, receiver)
}

/// A limiter over `store` with a quota of an hour, and where its answers arrive.
pub fn limiter<S: Store>(
    runtime: &Handle,
    store: S,
    policy: OnStoreError,
    deadline: Duration,
) -> (Limiter<Collector>, UnboundedReceiver<Settled>) {
    let (sink, receiver) = collector();
    let limiter = Limiter::remote(
        runtime,
        Arc::new(store),
        scope("t", hour()),
        deadline,
        fallback(policy),
        sink,
        meter(),
    );
    (limiter, receiver)
}

/// A limiter over a store that keeps what it is asked, and where its answers arrive.
pub fn recorded(deadline: Duration) -> (Recording, Limiter<Collector>, UnboundedReceiver<Settled>) {
    let store = Recording::default();
    let runtime = Handle::current();
    let (limiter, answers) = limiter(&runtime, store.clone(), OnStoreError::Throw, deadline);
    (store, limiter, answers)
}

pub fn meter() -> Arc<Metrics> {
    Arc::new(Metrics::new(hour().window))
}

pub fn fallback(policy: OnStoreError) -> Fallback {
    Fallback::new(policy, hour(), Local::default())
}

pub fn hour() -> Rules {
    quiet(3_600_000)
}

/// Tokio's clock for a store, so that it stands still with the limiter's.
pub struct TokioClock(Instant);

impl TokioClock {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Millis {
        EPOCH + self.0.elapsed().as_millis() as Millis
    }
}

/// Moves the paused clock on and lets no task run meanwhile, as a thread that stands still for so long.
pub fn stand_still(span: Duration) {
    let moved = pin!(tokio::time::advance(span));
    // It has moved at the first step; what is left of it lets others run.
    let _ = moved.poll(&mut Context::from_waker(Waker::noop()));
}

/// Another store, and what it was asked. It may take its time.
pub struct Logged<S> {
    store: Arc<S>,
    batches: Arc<Mutex<Vec<Vec<Op>>>>,
    delay: Arc<Mutex<Duration>>,
    /// With which everybody is.
    pub part: Arc<AtomicUsize>,
}

impl<S> Clone for Logged<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            batches: Arc::clone(&self.batches),
            delay: Arc::clone(&self.delay),
            part: Arc::clone(&self.part),
        }
    }
}

impl<S> Logged<S> {
    pub fn over(store: Arc<S>) -> Self {
        Self {
            store,
            batches: Arc::default(),
            delay: Arc::default(),
            part: Arc::default(),
        }
    }

    /// From now on, it answers after `delay`.
    pub fn answers_after(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    pub fn batches(&self) -> Vec<Vec<Op>> {
        self.batches.lock().unwrap().clone()
    }

    pub fn ops(&self) -> Vec<Op> {
        self.batches().concat()
    }

    /// The store itself, as another process knows it.
    pub fn store(&self) -> &S {
        &self.store
    }
}

impl<S: Store> Store for Logged<S> {
    fn shard_of(&self, _: &Scope, _: &Id) -> usize {
        self.part.load(Ordering::SeqCst)
    }

    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let ops = requests.iter().map(|request| request.op).collect();
        self.batches.lock().unwrap().push(ops);
        let delay = *self.delay.lock().unwrap();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.store.run(scope, requests).await
    }
}

/// Another store that lets a request leave at once.
pub struct Ready<S>(pub S);

impl<S: Store> Store for Ready<S> {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.run(scope, requests).await
    }

    fn try_send<R>(&self, _: &Scope, _: &Id, send: impl FnOnce() -> R) -> Option<R> {
        Some(send())
    }
}

/// Never answers.
pub struct Silent;

impl Store for Silent {
    async fn run(&self, _: &Scope, _: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        pending().await
    }
}

/// Answers late.
pub struct Late(pub Duration);

impl Store for Late {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        tokio::time::sleep(self.0).await;
        allowed(requests)
    }
}

/// Panics, before or after its first wait.
pub struct Panicking {
    pub at_once: bool,
}

impl Store for Panicking {
    async fn run(&self, _: &Scope, _: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        if !self.at_once {
            tokio::task::yield_now().await;
        }
        panic!("as the test wants it")
    }
}

/// Fails, always.
pub struct Failing(pub ErrorKind);

impl Store for Failing {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        vec![Err(StoreError::new(self.0, "away")); requests.len()]
    }
}

/// Begins a task and waits for it, as one that has to connect first.
pub struct Connecting;

impl Store for Connecting {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        tokio::spawn(tokio::time::sleep(Duration::from_millis(1)))
            .await
            .unwrap();
        allowed(requests)
    }
}

/// Admits everybody, and keeps the batches it was asked.
#[derive(Clone, Default)]
pub struct Recording(pub Arc<Mutex<Vec<Vec<Request>>>>);

impl Store for Recording {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.lock().unwrap().push(requests.to_vec());
        allowed(requests)
    }
}

/// Everybody admitted; `reset` is the number of the id, so that an answer can be told from its neighbours.
fn allowed(requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
    let outcome = |request: &Request| Outcome {
        decision: Decision {
            verdict: Verdict::Allowed,
            remaining: request.limit.get(),
            reset: request.id.as_str().parse().unwrap(),
            reset_after: 0,
        },
        count: Count::None,
    };
    requests
        .iter()
        .map(|request| Ok(outcome(request)))
        .collect()
}
