//! The stores of the process: statics, so that all threads and all copies of the JavaScript module share the same logs.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::iter;
use std::sync::{Arc, LazyLock, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::completion_queue::{JsSink, Wake};
use super::io_thread::IoThread;
use super::limiter::TestReport;
use super::options::Settings;
use crate::driver::{self, Deliver, Driver};
use crate::engine::{Engine, LimiterId, TestId};
use crate::limiter::{Fallback, Local, RequestId};
use crate::metrics::Metrics;
use crate::metrics::registry::connections;
use crate::quota::{Namespace, Window};
use crate::store::redis::RedisConfig;
use crate::store::{Answer, Request, Scope};

/// The engine of one Redis for one environment, and the thread of its connections. They end together.
pub(super) struct SharedRedis {
    driver: Arc<Driver<Sinks>>,
    /// The thread of the connections.
    pub(super) io: Arc<IoThread>,
}

/// Where the completions of an engine go.
#[derive(Default)]
struct Sinks {
    limiters: BTreeMap<LimiterId, Arc<JsSink>>,
    tests: BTreeMap<TestId, TestReport>,
}

impl Deliver for Sinks {
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<> {
        let mut wakes = Vec::new();
        let mut completions = engine.completions().peekable();
        while let Some(&(limiter, _)) = completions.peek() {
            let of_limiter = iter::from_fn(|| completions.next_if(|(other, _)| *other == limiter));
            let of_limiter = of_limiter.map(|(_, completion)| completion);
            match self.limiters.get(&limiter) {
                Some(sink) => wakes.extend(sink.deliver(of_limiter)),
                None => of_limiter.for_each(drop),
            }
        }
        drop(completions);
        let mut closed = Vec::new();
        while let Some(limiter) = engine.next_closed_limiter() {
            closed.extend(self.limiters.remove(&limiter));
        }
        let mut reports = Vec::new();
        while let Some((test, result)) = engine.next_test_result() {
            reports.extend(self.tests.remove(&test).map(|report| (report, result)));
        }
        move || {
            for (report, result) in reports {
                report.ended(result);
            }
            wakes.iter().for_each(|wake: &Arc<Wake>| wake.call());
            drop(closed);
        }
    }
}

impl SharedRedis {
    /// Opens a limiter, whose completions go to `sink`.
    pub(super) fn open(
        self: &Arc<Self>,
        settings: &Settings,
        fallback: Fallback,
        metrics: Arc<Metrics>,
        sink: Arc<JsSink>,
    ) -> RedisLimiter {
        let (scope, times) = (settings.scope.clone(), settings.times);
        let id = self.driver.with(|engine, sinks, now| {
            let id = engine.open(scope, times, fallback, metrics, now);
            sinks.limiters.insert(id, sink);
            id
        });
        RedisLimiter {
            redis: Arc::clone(self),
            id,
        }
    }

    /// Tests the connection for a limiter of `scope`, within `budget`.
    pub(super) fn test_connection(
        self: &Arc<Self>,
        scope: Scope,
        budget: Duration,
        report: TestReport,
    ) {
        let scope = Arc::new(scope);
        self.driver.with(|engine, sinks, now| {
            let test = engine.test_connection(scope, budget, now);
            sinks.tests.insert(test, report);
        });
        self.outlive_requests();
    }

    /// Keeps the engine until all requests are answered, also if no limiter is open any more.
    fn outlive_requests(self: &Arc<Self>) {
        let redis = Arc::clone(self);
        self.io
            .handle()
            .spawn(async move { redis.driver.settled().await });
    }
}

impl Drop for SharedRedis {
    fn drop(&mut self) {
        // With its configuration, which holds passwords.
        REDIS
            .lock()
            .retain(|(_, _, redis)| redis.strong_count() > 0);
    }
}

/// An open limiter over Redis. Its requests in flight are answered even after it is dropped.
pub(super) struct RedisLimiter {
    redis: Arc<SharedRedis>,
    id: LimiterId,
}

impl RedisLimiter {
    /// The Redis that it runs on.
    pub(super) fn redis(&self) -> &Arc<SharedRedis> {
        &self.redis
    }

    /// Submits a request. It is answered in the call, which then returns the request and its answer, or through the sink.
    pub(super) fn submit(
        &self,
        request: Request,
        request_id: RequestId,
    ) -> Option<(Request, Answer)> {
        let act = |engine: &mut Engine, _: &mut Sinks, now| {
            engine.submit(self.id, request, request_id, now)
        };
        self.redis.driver.with(act)
    }

    /// As [`Engine::flush`].
    pub(super) fn flush(&self, request_id: RequestId) -> bool {
        let act = |engine: &mut Engine, _: &mut Sinks, now| engine.flush(self.id, request_id, now);
        self.redis.driver.with(act)
    }
}

impl Drop for RedisLimiter {
    fn drop(&mut self) {
        let busy = self.redis.driver.with(|engine, _, now| {
            engine.close(self.id, now);
            engine.is_busy()
        });
        if busy {
            self.redis.outlive_requests();
        }
    }
}

type Engines = Vec<(ThreadId, RedisConfig, Weak<SharedRedis>)>;

static REDIS: Mutex<Engines> = Mutex::new(Vec::new());

/// The engine for `config` in the environment of this thread, shared by all of its limiters with the same configuration.
///
/// # Errors
/// As [`IoThread::shared`].
pub(super) fn redis(config: RedisConfig) -> io::Result<Arc<SharedRedis>> {
    let mut shared = REDIS.lock();
    let thread = thread::current().id();
    let existing = shared
        .iter()
        .find(|(owner, existing, _)| *owner == thread && *existing == config);
    if let Some(redis) = existing.and_then(|(_, _, redis)| redis.upgrade()) {
        return Ok(redis);
    }
    let io = IoThread::shared()?;
    let connections = Arc::clone(connections());
    let engine = Engine::new(
        config.clone(),
        connections,
        fastrand::Rng::new(),
        driver::now(),
    );
    let driver = Driver::start(io.handle().clone(), &config, engine, Sinks::default());
    let redis = Arc::new(SharedRedis { driver, io });
    shared.push((thread, config, Arc::downgrade(&redis)));
    Ok(redis)
}

/// The purpose of logs in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// The embedded store.
    Embedded,
    /// Decisions while the Redis at this endpoint is away.
    Local(Box<str>),
}

/// A thread, and the address of the completion queue of one copy of the JavaScript module in it.
type Owner = (ThreadId, usize);

struct Entry {
    local: Local,
    /// The number of open limiters, by thread and copy of the JavaScript module.
    owners: HashMap<Owner, usize>,
    /// When the last limiter was dropped, and how long its admissions count.
    released: (Instant, Duration),
}

impl Entry {
    /// Whether no limiter uses it and all of its admissions have expired.
    fn is_expired(&self) -> bool {
        let (since, window) = self.released;
        self.owners.is_empty() && (self.local.logs.is_empty() || since.elapsed() >= window)
    }
}

type Entries = HashMap<(Purpose, Namespace), Entry>;

static MEMORY: LazyLock<Mutex<Entries>> = LazyLock::new(Mutex::default);

/// One open limiter's lease on the process's logs of one name.
///
/// The logs outlive a limiter that is merely garbage-collected: an application that creates one per request must not get a
/// new quota each time. They are deleted when a limiter is closed and no other one uses them.
pub(super) struct Lease {
    key: (Purpose, Namespace),
    owner: Owner,
    window: Duration,
    local: Local,
}

impl Lease {
    /// A lease on the logs of `name`, whose admissions count for `window`.
    pub(super) fn new(
        purpose: Purpose,
        name: Namespace,
        window: Window,
        js_instance: usize,
    ) -> Self {
        let owner = (thread::current().id(), js_instance);
        let window = Duration::from_millis(window.ms());
        let mut entries = MEMORY.lock();
        // An application may use ever new names: each new lease drops the expired entries.
        entries.retain(|_, entry| !entry.is_expired());
        let entry = entries
            .entry((purpose.clone(), name.clone()))
            .or_insert_with(|| Entry {
                local: Local::default(),
                owners: HashMap::new(),
                released: (Instant::now(), Duration::ZERO),
            });
        *entry.owners.entry(owner).or_insert(0) += 1;
        Self {
            key: (purpose, name),
            owner,
            window,
            local: entry.local.clone(),
        }
    }

    /// The logs, and the journal of admissions that Redis does not have yet.
    pub(super) fn local(&self) -> &Local {
        &self.local
    }

    /// Deletes the logs of this name, unless another limiter has a lease on them. Returns whether it did. Leases of other
    /// copies of the JavaScript module in this thread do not count: a test runner leaves one copy per file behind, and their
    /// quotas would affect the files that follow.
    pub(super) fn forget(&self) -> bool {
        let entries = MEMORY.lock();
        let last = entries.get(&self.key).is_some_and(|entry| {
            let (thread, js_instance) = self.owner;
            entry
                .owners
                .iter()
                .all(|(&(t, other), &count)| t == thread && (other != js_instance || count == 1))
        });
        if last {
            self.local.journal.clear(&self.local.logs);
        }
        last
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut entries = MEMORY.lock();
        if let Some(entry) = entries.get_mut(&self.key) {
            if let Some(count) = entry.owners.get_mut(&self.owner) {
                *count -= 1;
                if *count == 0 {
                    entry.owners.remove(&self.owner);
                }
            }
            entry.released = (Instant::now(), entry.released.1.max(self.window));
        }
        entries.retain(|_, entry| !entry.is_expired());
    }
}
