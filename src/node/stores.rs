//! The stores a process shares: statics, so that all threads and all copies of the JavaScript face see the same logs.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;

use super::runtime::IoThread;
use crate::quota::Namespace;
use crate::store::MemoryStore;
use crate::store::redis::{RedisConfig, RedisStore};

/// A Redis and the thread its connections live on: gone together, or a new store would meet connections of a dead thread.
pub struct SharedRedis {
    /// The store.
    pub store: Arc<RedisStore>,
    /// The thread.
    pub io: Arc<IoThread>,
}

static REDIS: Mutex<Vec<(RedisConfig, Weak<SharedRedis>)>> = Mutex::new(Vec::new());

/// The store for `config`, shared by every limiter that asks for the same.
///
/// # Errors
/// As [`IoThread::shared`].
pub fn redis(config: RedisConfig) -> io::Result<Arc<SharedRedis>> {
    let mut shared = lock(&REDIS);
    shared.retain(|(_, store)| store.strong_count() > 0);
    let known = shared.iter().find(|(known, _)| *known == config);
    if let Some(store) = known.and_then(|(_, store)| store.upgrade()) {
        return Ok(store);
    }
    let store = Arc::new(SharedRedis {
        store: Arc::new(RedisStore::new(config.clone())),
        io: IoThread::shared()?,
    });
    shared.push((config, Arc::downgrade(&store)));
    Ok(store)
}

/// What the logs of a memory store are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The embedded store.
    Embedded,
    /// Decisions while Redis is away.
    Local,
}

struct Shelf {
    store: Arc<MemoryStore>,
    /// The threads that have limiters on it.
    users: HashMap<ThreadId, usize>,
}

type Shelves = HashMap<(Purpose, Namespace), Shelf>;

static MEMORY: LazyLock<Mutex<Shelves>> = LazyLock::new(Mutex::default);

/// One limiter's hold on the process's logs of one name.
///
/// The logs outlive a limiter that is merely collected: an application that makes one a request must not thereby be
/// granted a new quota each time. They go when somebody asks for it and no other thread still counts on them.
pub struct MemoryHold {
    purpose: Purpose,
    name: Namespace,
    thread: ThreadId,
    store: Arc<MemoryStore>,
}

impl MemoryHold {
    /// Takes hold of the logs of `name`, for a limiter of the calling thread.
    pub fn new(purpose: Purpose, name: Namespace) -> Self {
        let thread = std::thread::current().id();
        let mut shelves = lock(&MEMORY);
        let shelf = shelves
            .entry((purpose, name.clone()))
            .or_insert_with(|| Shelf {
                store: Arc::new(MemoryStore::new()),
                users: HashMap::new(),
            });
        *shelf.users.entry(thread).or_insert(0) += 1;
        Self {
            purpose,
            name,
            thread,
            store: Arc::clone(&shelf.store),
        }
    }

    /// The logs.
    pub fn store(&self) -> &Arc<MemoryStore> {
        &self.store
    }

    /// Forgets the logs of this name, unless another thread has a limiter on them.
    pub fn forget(&self) {
        let mut shelves = lock(&MEMORY);
        let key = (self.purpose, self.name.clone());
        if let Some(shelf) = shelves.get_mut(&key) {
            if shelf.users.keys().any(|&thread| thread != self.thread) {
                return;
            }
            // Emptied, not replaced: another limiter of this thread may hold it.
            shelf.store.clear();
        }
    }
}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        let mut shelves = lock(&MEMORY);
        let key = (self.purpose, self.name.clone());
        if let Some(shelf) = shelves.get_mut(&key) {
            if let Some(count) = shelf.users.get_mut(&self.thread) {
                *count -= 1;
                if *count == 0 {
                    shelf.users.remove(&self.thread);
                }
            }
            if shelf.users.is_empty() && shelf.store.is_empty() {
                shelves.remove(&key);
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while the lists are being changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
