//! Test doubles: stores that misbehave, and a sink that collects completions.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::old_limiter::{
    Answer, Completion, CompletionSink, Fallback, Limiter, Local, OnStoreError,
};
use huntaze_rate_limit::quota::{
    AnomalyStatus, Clock, Decision, Id, Millis, Outcome, Rules, Verdict,
};
use huntaze_rate_limit::store::{ErrorKind, Op, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::random_history::EPOCH;
use crate::requests::{plain_rules, scope};

/// A completed request: its request id, and the result.
pub type Settled = (u32, Result<Answer, StoreError>);

/// A sink that sends every completion to a channel.
#[derive(Clone)]
pub struct Collector {
    sender: UnboundedSender<Settled>,
}

impl CompletionSink for Collector {
    type RequestId = u32;

    fn complete(&self, answers: Vec<Completion<u32>>) {
        for (_, request_id, answer) in answers {
            // The test may have seen enough.
            let _ = self.sender.send((request_id, answer));
        }
    }

    fn flushed(&self, request_id: u32) {
        let flushed = StoreError::new(ErrorKind::Protocol, "counted");
        let _ = self.sender.send((request_id, Err(flushed)));
    }
}

/// A sink, and the receiver of its completions.
pub fn collector() -> (Collector, UnboundedReceiver<Settled>) {
    let (sender, receiver) = unbounded_channel();
    (Collector { sender }, receiver)
}

/// A limiter over `store` with a window of an hour, and the receiver of its answers.
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
        metrics(),
    );
    (limiter, receiver)
}

/// A limiter over a store that records its requests, and the receiver of its answers.
pub fn recorded(deadline: Duration) -> (Recording, Limiter<Collector>, UnboundedReceiver<Settled>) {
    let store = Recording::default();
    let runtime = Handle::current();
    let (limiter, answers) = limiter(&runtime, store.clone(), OnStoreError::Throw, deadline);
    (store, limiter, answers)
}

pub fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(hour().window))
}

pub fn fallback(policy: OnStoreError) -> Fallback {
    Fallback::new(policy, hour(), Local::default())
}

pub fn hour() -> Rules {
    plain_rules(3_600_000)
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

/// Advances the paused clock by `span` and lets no task run meanwhile, as a blocked thread does.
pub fn block_thread(span: Duration) {
    let advance = pin!(tokio::time::advance(span));
    // The clock moves at the first poll; the rest of the future would let other tasks run.
    let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
}

/// Wraps a store and logs its requests. It can delay the answers.
pub struct Logged<S> {
    store: Arc<S>,
    batches: Arc<Mutex<Vec<Vec<Op>>>>,
    delay: Arc<Mutex<Duration>>,
    /// The shard of every id.
    pub shard: Arc<AtomicUsize>,
}

impl<S> Clone for Logged<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            batches: Arc::clone(&self.batches),
            delay: Arc::clone(&self.delay),
            shard: Arc::clone(&self.shard),
        }
    }
}

impl<S> Logged<S> {
    pub fn over(store: Arc<S>) -> Self {
        Self {
            store,
            batches: Arc::default(),
            delay: Arc::default(),
            shard: Arc::default(),
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

    /// The wrapped store, as another process uses it.
    pub fn store(&self) -> &S {
        &self.store
    }
}

impl<S: Store> Store for Logged<S> {
    fn shard_of(&self, _: &Scope, _: &Id) -> usize {
        self.shard.load(Ordering::SeqCst)
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

/// Wraps a store so that a request can leave in the caller's call.
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

/// Panics, before or after its first `await`.
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

/// Always fails.
pub struct Failing(pub ErrorKind);

impl Store for Failing {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        vec![Err(StoreError::new(self.0, "away")); requests.len()]
    }
}

/// Spawns a task and waits for it, as a store does that has to connect first.
pub struct Connecting;

impl Store for Connecting {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        tokio::spawn(tokio::time::sleep(Duration::from_millis(1)))
            .await
            .unwrap();
        allowed(requests)
    }
}

/// Admits every request, and keeps the batches.
#[derive(Clone, Default)]
pub struct Recording(pub Arc<Mutex<Vec<Vec<Request>>>>);

impl Store for Recording {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.lock().unwrap().push(requests.to_vec());
        allowed(requests)
    }
}

/// Admits every request. `reset` is the number of the id, which distinguishes an answer from its neighbours'.
fn allowed(requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
    let outcome = |request: &Request| Outcome {
        decision: Decision {
            verdict: Verdict::Allowed,
            remaining: request.limit.get(),
            reset: request.id.as_str().parse().unwrap(),
            reset_after: 0,
        },
        anomaly_status: AnomalyStatus::None,
    };
    requests
        .iter()
        .map(|request| Ok(outcome(request)))
        .collect()
}
