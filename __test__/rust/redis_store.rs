//! An engine with its driver, for tests: script calls as futures.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use huntaze_rate_limit::driver::{self, Deliver, Driver};
use huntaze_rate_limit::engine::{
    CallId, CallResults, ConnectionTest, Engine, LimiterId, Results, TestId, Work,
};
use huntaze_rate_limit::limiter::{Completion, Fallback, Local, OnStoreError, RequestId};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::redis::{ConnectionStats, RedisConfig};
use huntaze_rate_limit::store::{Answer, ErrorKind, Replay, Request, Scope, StoreError};

use crate::store::Store;

/// One Redis or one Redis Cluster, and the connections to it. Nothing connects before the first request. Used inside a Tokio runtime,
/// always the same one.
pub struct RedisStore {
    config: RedisConfig,
    connections: Arc<ConnectionStats>,
    driver: OnceLock<Arc<Driver<Waiting>>>,
}

/// Who waits for results of the engine.
struct Waiting {
    calls: BTreeMap<CallId, UnboundedSender<CallResults>>,
    tests: BTreeMap<TestId, oneshot::Sender<Result<ConnectionTest, StoreError>>>,
    limiters: BTreeMap<LimiterId, UnboundedSender<Completed>>,
    /// By shard: its primary and the number of connections to it, and how often these have changed.
    seen: BTreeMap<usize, (Connected, u64)>,
}

type Connected = (Option<String>, u64);

impl Deliver for Waiting {
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<> {
        while let Some(results) = engine.next_results() {
            let is_last = results.is_last;
            let call = results.call;
            if let Some(sender) = self.calls.get(&call) {
                // The caller may have given up.
                let _ = sender.send(results);
            }
            if is_last {
                self.calls.remove(&call);
            }
        }
        while let Some((test, result)) = engine.next_test_result() {
            if let Some(sender) = self.tests.remove(&test) {
                let _ = sender.send(result);
            }
        }
        for (limiter, completion) in engine.completions() {
            let completed = match completion {
                Completion::Decided { request_id, answer } => (request_id.slot, Ok(answer)),
                Completion::Failed { request_id, error } => (request_id.slot, Err(error)),
                Completion::Anomaly { .. }
                | Completion::Flushed { .. }
                | Completion::StoreChanged(_) => continue,
            };
            if let Some(sender) = self.limiters.get(&limiter) {
                // The test may have seen enough.
                let _ = sender.send(completed);
            }
        }
        || {}
    }
}

impl RedisStore {
    /// A store on the Redis of `config`.
    pub fn new(config: RedisConfig) -> Self {
        Self::counting(config, Arc::default())
    }

    /// As [`new`](Self::new), with its connections counted in `connections`.
    pub fn counting(config: RedisConfig, connections: Arc<ConnectionStats>) -> Self {
        Self {
            config,
            connections,
            driver: OnceLock::new(),
        }
    }

    fn driver(&self) -> &Arc<Driver<Waiting>> {
        self.driver.get_or_init(|| {
            let random = fastrand::Rng::new();
            let connections = Arc::clone(&self.connections);
            let engine = Engine::new(self.config.clone(), connections, random, driver::now());
            let waiting = Waiting {
                calls: BTreeMap::new(),
                tests: BTreeMap::new(),
                limiters: BTreeMap::new(),
                seen: BTreeMap::new(),
            };
            Driver::start(Handle::current(), &self.config, engine, waiting)
        })
    }

    /// Takes and gives back a slot of an id that no caller has, in the namespace of `scope`; sends a PING; and writes, reads and
    /// deletes a key of its own. Uses a connection of the checks or, if there is none, a new one.
    ///
    /// # Errors
    /// Why there is no connection, or the step that failed.
    pub async fn test_connection(&self, scope: &Scope) -> Result<ConnectionTest, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let scope = Arc::new(scope.clone());
        let driver = self.driver();
        let id = driver.with(|engine, waiting, now| {
            let id = engine.test_connection(scope, Duration::from_secs(60), now);
            waiting.tests.insert(id, sender);
            id
        });
        let mut guard = AbandonTest(Some((driver, id)));
        let result = receiver.await;
        guard.0 = None;
        result.unwrap_or_else(|_| Err(ended()))
    }

    /// The results of a call, as they arrive.
    async fn run_call(&self, scope: &Scope, work: Work, mut each: impl FnMut(CallResults)) {
        let (sender, mut receiver) = unbounded_channel();
        let scope = Arc::new(scope.clone());
        let driver = self.driver();
        let id = driver.with(|engine, waiting, now| {
            let id = engine.call(scope, work, now);
            waiting.calls.insert(id, sender);
            id
        });
        let mut guard = AbandonCall(Some((driver, id)));
        while let Some(results) = receiver.recv().await {
            let is_last = results.is_last;
            each(results);
            if is_last {
                break;
            }
        }
        guard.0 = None;
    }
}

/// A completed request: its number, and the answer.
pub type Completed = (u32, Result<Answer, StoreError>);

/// A limiter over a store.
pub struct RedisLimiter {
    driver: Arc<Driver<Waiting>>,
    id: LimiterId,
}

impl RedisStore {
    /// A limiter over this store, and the receiver of its answers.
    pub fn limiter(
        &self,
        scope: &Scope,
        policy: OnStoreError,
        deadline: Duration,
    ) -> (RedisLimiter, UnboundedReceiver<Completed>) {
        let (sender, receiver) = unbounded_channel();
        let driver = Arc::clone(self.driver());
        let fallback = Fallback::new(policy, scope.rules, Local::default());
        let metrics = Arc::new(Metrics::new(scope.rules.window));
        let id = driver.with(|engine, waiting, now| {
            let id = engine.open(scope.clone(), deadline.into(), fallback, metrics, now);
            waiting.limiters.insert(id, sender);
            id
        });
        (RedisLimiter { driver, id }, receiver)
    }
}

impl RedisLimiter {
    /// Submits a request. `None`: it completes later.
    pub fn submit(&self, request: Request, number: u32) -> Option<Answer> {
        let request_id = RequestId {
            slot: number,
            ..RequestId::default()
        };
        let answer = self
            .driver
            .with(|engine, _, now| engine.submit(self.id, request, request_id, now));
        answer.map(|(_, answer)| answer)
    }
}

struct AbandonCall<'a>(Option<(&'a Arc<Driver<Waiting>>, CallId)>);

impl Drop for AbandonCall<'_> {
    fn drop(&mut self) {
        if let Some((driver, id)) = self.0.take() {
            driver.with(|engine, waiting, now| {
                waiting.calls.remove(&id);
                engine.abandon(id, now);
            });
        }
    }
}

struct AbandonTest<'a>(Option<(&'a Arc<Driver<Waiting>>, TestId)>);

impl Drop for AbandonTest<'_> {
    fn drop(&mut self) {
        if let Some((driver, id)) = self.0.take() {
            driver.with(|engine, waiting, now| {
                waiting.tests.remove(&id);
                engine.abandon_test(id, now);
            });
        }
    }
}

fn ended() -> StoreError {
    StoreError::new(ErrorKind::Disconnected, "the store was closed")
}

impl RedisStore {
    /// The shard that holds the log of an id.
    pub fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        let shard = |engine: &mut Engine| engine.shard_map().shard_of_id(&scope.name, id);
        let driver = self.driver.get();
        driver.map_or(0, |driver| driver.with(|engine, _, _| shard(engine)))
    }

    /// Whether a shard decides.
    pub async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        let key = self
            .driver()
            .with(|engine, _, _| engine.probe_key(scope, shard));
        let Some(key) = key else {
            return Ok(());
        };
        let mut answer = Err(ended());
        self.run_call(scope, Work::Probe(key.into()), |part| {
            if let Results::Probe(result) = part.results
                && !part.indices.is_empty()
            {
                answer = result;
            }
        })
        .await;
        answer
    }

    /// Waits until the number of a shard's primaries and of the connections to them, as far as they were seen here, is not `known`, and
    /// returns it.
    pub async fn connected(&self, shard: usize, known: u64) -> u64 {
        let driver = self.driver();
        loop {
            let count = driver.with(|engine, waiting, _| {
                let primary = engine.shard_map().primary_of(shard).map(str::to_owned);
                let present = (primary, engine.connections_made(shard));
                let (last, count) = waiting.seen.entry(shard).or_default();
                *count += match last.0 == present.0 {
                    true => present.1 - last.1,
                    false => present.1.max(1),
                };
                *last = present;
                *count
            });
            if count != known {
                return count;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Enters decisions of the time when the store was away into its logs. One result each, in order.
    pub async fn replay(&self, scope: &Scope, replays: &[Replay]) -> Vec<Result<(), StoreError>> {
        let mut all: Vec<_> = replays.iter().map(|_| Err(ended())).collect();
        let work = Work::Replays(replays.into());
        self.run_call(scope, work, |part| {
            if let Results::Replays(results) = part.results {
                for (index, result) in part.indices.into_iter().zip(results) {
                    all[index] = result;
                }
            }
        })
        .await;
        all
    }
}

impl Store for RedisStore {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let mut all: Vec<_> = requests.iter().map(|_| Err(ended())).collect();
        let work = Work::Checks(requests.into());
        self.run_call(scope, work, |part| {
            if let Results::Checks(results) = part.results {
                for (index, result) in part.indices.into_iter().zip(results) {
                    all[index] = result;
                }
            }
        })
        .await;
        all
    }
}
