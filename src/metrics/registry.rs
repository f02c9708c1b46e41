//! The metrics of all limiters of this process, by their names. They are static, so that all threads and all copies of the
//! JavaScript module count together, and the counts stay when a limiter closes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::{Metrics, MetricsSnapshot};
use crate::quota::{Namespace, Window};
use crate::store::redis::ConnectionStats;

/// The most names with metrics of their own: an application that names a limiter after each of its users must not fill the
/// memory, nor a monitoring system. Beyond them, names without an open limiter are dropped; if all names have one, further
/// names are counted together.
const MAX_NAMES: usize = 256;

/// The limiter whose metrics are always its own and never dropped: alarms are set on them.
const CREATORS: &str = "creator";

/// The name under which further names are counted. No limiter can have it, since names hold no `*`.
const OVERFLOW: &str = "*";

type Registry = HashMap<Box<str>, Arc<Metrics>>;

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// The snapshots that [`delta`] returned last.
static LAST_REPORTS: LazyLock<Mutex<HashMap<Box<str>, MetricsSnapshot>>> =
    LazyLock::new(Mutex::default);

static CONNECTIONS: LazyLock<Arc<ConnectionStats>> = LazyLock::new(Arc::default);

/// The metrics of the limiters called `name`. The first limiter's window sets how fast counts in the list of ids decay.
pub fn get_or_create(name: &Namespace, window: Window) -> Arc<Metrics> {
    let mut registry = REGISTRY.lock();
    let fits = |registry: &Registry| {
        registry.len() < MAX_NAMES
            || registry.contains_key(name.as_str())
            || name.as_str() == CREATORS
    };
    if !fits(&registry) {
        // An open limiter holds a reference to its metrics.
        registry.retain(|name, metrics| **name == *CREATORS || Arc::strong_count(metrics) > 1);
    }
    let name = if fits(&registry) {
        name.as_str()
    } else {
        OVERFLOW
    };
    let metrics = registry
        .entry(name.into())
        .or_insert_with(|| Arc::new(Metrics::new(window)));
    Arc::clone(metrics)
}

/// The snapshot of the limiters called `name`; an empty one if there is none.
pub fn read(name: &str) -> MetricsSnapshot {
    let registry = REGISTRY.lock();
    let is_full = registry.len() >= MAX_NAMES;
    let metrics = registry.get(name).or_else(|| {
        let overflow = registry.get(OVERFLOW);
        overflow.filter(|_| is_full)
    });
    let metrics = metrics.cloned();
    // A snapshot takes a while: opening a limiter must not wait for it.
    drop(registry);
    metrics.map_or_else(MetricsSnapshot::empty, |metrics| metrics.snapshot())
}

/// The snapshot of `name` at the last call of this function, if there was one, and the present snapshot.
pub fn delta(name: &str) -> (Option<MetricsSnapshot>, MetricsSnapshot) {
    let mut reports = LAST_REPORTS.lock();
    let now = read(name);
    (reports.insert(name.into(), now.clone()), now)
}

/// All metrics with their names, in the order of names.
pub fn all() -> Vec<(Box<str>, Arc<Metrics>)> {
    let registry = REGISTRY.lock();
    let pairs = registry.iter();
    let mut all: Vec<_> = pairs.map(|(n, m)| (n.clone(), Arc::clone(m))).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

/// The connection statistics of this process.
pub fn connections() -> &'static Arc<ConnectionStats> {
    &CONNECTIONS
}
