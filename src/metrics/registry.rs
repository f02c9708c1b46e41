//! What the limiters of this process count: statics, by their names, so that all threads and all copies of the JavaScript face
//! count together, and nothing is lost when a limiter closes.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::{Metrics, MetricsSnapshot};
use crate::quota::{Namespace, Window};
use crate::store::redis::ConnectionStats;

/// Names that are counted apart: an application that names a limiter after each of its users must not fill the memory, nor a
/// monitoring system. Where there are more, those that are not open are forgotten, and if all are, the others are counted
/// together.
const MAX_NAMES: usize = 256;

/// The limiter that is counted apart in any case, and never forgotten: its figures are what alarms are set on.
const CREATORS: &str = "creator";

/// What those are called: no limiter's name, which holds no `*`.
const OVERFLOW: &str = "*";

type Registry = HashMap<Box<str>, Arc<Metrics>>;

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);

/// What has been told as news.
static LAST_REPORTS: LazyLock<Mutex<HashMap<Box<str>, MetricsSnapshot>>> =
    LazyLock::new(Mutex::default);

static CONNECTIONS: LazyLock<Arc<ConnectionStats>> = LazyLock::new(Arc::default);

/// The meter of the limiters called `name`. The window of the first decides how long who asks is remembered.
pub fn metrics_of(name: &Namespace, window: Window) -> Arc<Metrics> {
    let mut meters = REGISTRY.lock();
    let has_room = |meters: &Registry| {
        meters.len() < MAX_NAMES || meters.contains_key(name.as_str()) || name.as_str() == CREATORS
    };
    if !has_room(&meters) {
        // Whoever is open holds its meter.
        meters.retain(|name, meter| **name == *CREATORS || Arc::strong_count(meter) > 1);
    }
    let name = if has_room(&meters) {
        name.as_str()
    } else {
        OVERFLOW
    };
    let meter = meters
        .entry(name.into())
        .or_insert_with(|| Arc::new(Metrics::new(window)));
    Arc::clone(meter)
}

/// What the limiters called `name` have counted; nothing where there is none.
pub fn read(name: &str) -> MetricsSnapshot {
    let meters = REGISTRY.lock();
    let full = meters.len() >= MAX_NAMES;
    let meter = meters.get(name).or_else(|| {
        let others = meters.get(OVERFLOW);
        others.filter(|_| full)
    });
    let meter = meter.cloned();
    // A meter reads limiters that are open: not under this lock.
    drop(meters);
    meter.map_or_else(MetricsSnapshot::empty, |meter| meter.snapshot())
}

/// What was read of `name` the last time somebody asked for news, if that was so, and what is read now.
pub fn delta(name: &str) -> (Option<MetricsSnapshot>, MetricsSnapshot) {
    let mut told = LAST_REPORTS.lock();
    let now = read(name);
    (told.insert(name.into(), now.clone()), now)
}

/// Every meter with its name, in the order of names.
pub fn all() -> Vec<(Box<str>, Arc<Metrics>)> {
    let meters = REGISTRY.lock();
    let pairs = meters.iter();
    let mut all: Vec<_> = pairs.map(|(n, m)| (n.clone(), Arc::clone(m))).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

/// The connections of this process.
pub fn connections() -> &'static Arc<ConnectionStats> {
    &CONNECTIONS
}
