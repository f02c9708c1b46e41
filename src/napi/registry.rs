//! The stores of the process: statics, so that all threads and all copies of the JavaScript module share the same logs.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::io_thread::IoThread;
use crate::metrics::registry::connections;
use crate::old_limiter::Local;
use crate::quota::{Id, Namespace, Outcome, Window};
use crate::store::redis::{ConnectionTest, RedisConfig, RedisStore};
use crate::store::{Replay, Request, Scope, Store, StoreError};

/// A Redis store and the thread of its connections. They end together, or a new store would use connections of a dead
/// thread. Every request holds a reference, so that it is answered even after its limiter is gone.
pub(super) struct SharedRedis {
    store: RedisStore,
    /// The thread of the connections.
    pub io: Arc<IoThread>,
}

impl Store for SharedRedis {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.store.run(scope, requests).await
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        on_results: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        self.store.run_streaming(scope, requests, on_results).await;
    }

    fn shard_map_version(&self) -> u64 {
        self.store.shard_map_version()
    }

    fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        self.store.shard_of(scope, id)
    }

    fn primary_of(&self, shard: usize) -> Option<String> {
        self.store.primary_of(shard)
    }

    async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        self.store.probe(scope, shard).await
    }

    async fn connected(&self, shard: usize, known: u64) -> u64 {
        self.store.connected(shard, known).await
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.store.replay(scope, replays).await
    }

    async fn replay_streaming(
        &self,
        scope: &Scope,
        replays: &[Replay],
        on_results: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> Result<(), StoreError> {
        self.store
            .replay_streaming(scope, replays, on_results)
            .await
    }

    fn try_send<R>(&self, scope: &Scope, id: &Id, send: impl FnOnce() -> R) -> Option<R> {
        self.store.try_send(scope, id, send)
    }
}

impl SharedRedis {
    /// See [`RedisStore::test_connection`].
    ///
    /// # Errors
    /// As there.
    pub(super) async fn test_connection(
        &self,
        scope: &Scope,
    ) -> Result<ConnectionTest, StoreError> {
        self.store.test_connection(scope).await
    }
}

static REDIS: Mutex<Vec<(RedisConfig, Weak<SharedRedis>)>> = Mutex::new(Vec::new());

/// The store for `config`, shared by all limiters with the same configuration.
///
/// # Errors
/// As [`IoThread::shared`].
pub(super) fn redis(config: RedisConfig) -> io::Result<Arc<SharedRedis>> {
    let mut shared = REDIS.lock();
    shared.retain(|(_, store)| store.strong_count() > 0);
    let existing = shared.iter().find(|(existing, _)| *existing == config);
    if let Some(store) = existing.and_then(|(_, store)| store.upgrade()) {
        return Ok(store);
    }
    let store = Arc::new(SharedRedis {
        store: RedisStore::counting(config.clone(), Arc::clone(connections())),
        io: IoThread::shared()?,
    });
    shared.push((config, Arc::downgrade(&store)));
    Ok(store)
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
        let owner = (std::thread::current().id(), js_instance);
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
