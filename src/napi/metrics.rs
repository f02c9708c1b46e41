//! Metrics as JavaScript reads them.

use napi_derive::napi;

use crate::metrics::{MetricsSnapshot, TopEntry, registry};
use crate::store::ErrorKind;

/// The metrics of the limiters of one name, and of the connections of the process. Flat: `lib/metrics/snapshot.js` gives
/// them their public shape.
#[napi(object)]
pub struct LimiterMetrics {
    pub limiter: String,
    /// By the position of the source in `Constants.sources`.
    pub allowed: Vec<f64>,
    /// Likewise.
    pub denied: Vec<f64>,
    pub failed: f64,
    pub anomalies: f64,
    pub in_flight: f64,
    /// The codes of errors that have occurred. The numbers are in `error_counts`.
    pub error_codes: Vec<String>,
    pub error_counts: Vec<f64>,
    /// Inclusive upper bounds. There is one more count, for values above the last bound.
    pub latency_bounds_ms: Vec<f64>,
    pub latency_counts: Vec<f64>,
    pub latency_sum_ms: f64,
    pub batch_bounds: Vec<f64>,
    pub batch_counts: Vec<f64>,
    pub batch_sum: f64,
    /// The position of the state in `Constants.breaker_states`.
    pub breaker: u32,
    pub breaker_openings: f64,
    /// Whether the store is away for a limiter of the name.
    pub store_away: bool,
    pub store_outages: f64,
    pub store_away_ms: f64,
    pub connections_open: f64,
    pub connections_opened: f64,
    pub reconnects: f64,
    pub connects_failed: f64,
}

/// An id with many requests.
#[napi(object)]
pub struct TopCandidate {
    pub id: String,
    /// The label of its last sampled request.
    pub label: u32,
    pub limit: u32,
    pub requests: f64,
}

/// The metrics of every limiter of this process, in the order of their names.
#[napi(catch_unwind)]
pub fn metrics() -> Vec<LimiterMetrics> {
    let all = registry::all().into_iter();
    all.map(|(name, metrics)| limiter_metrics(name.into(), metrics.snapshot()))
        .collect()
}

/// The metrics of the limiters called `limiter`.
#[napi(catch_unwind)]
pub fn metrics_of(limiter: String) -> LimiterMetrics {
    let snapshot = registry::read(&limiter);
    limiter_metrics(limiter, snapshot)
}

/// The metrics of the limiters called `limiter` at the last call of this function in this process, if there was one, and
/// those of now.
#[napi(catch_unwind)]
pub fn metrics_delta(limiter: String) -> Vec<LimiterMetrics> {
    let (before, now) = registry::delta(&limiter);
    let snapshots = before.into_iter().chain([now]);
    snapshots
        .map(|snapshot| limiter_metrics(limiter.clone(), snapshot))
        .collect()
}

fn limiter_metrics(limiter: String, snapshot: MetricsSnapshot) -> LimiterMetrics {
    let (error_codes, error_counts) = errors(&snapshot).into_iter().unzip();
    let connections = registry::connections();
    LimiterMetrics {
        limiter,
        allowed: numbers(snapshot.allowed),
        denied: numbers(snapshot.denied),
        failed: snapshot.failed as f64,
        anomalies: snapshot.anomalies as f64,
        in_flight: snapshot.in_flight as f64,
        error_codes,
        error_counts,
        latency_bounds_ms: milliseconds(snapshot.latency.bounds),
        latency_counts: numbers(snapshot.latency.counts),
        latency_sum_ms: snapshot.latency.sum as f64 / 1000.0,
        batch_bounds: numbers(snapshot.batches.bounds),
        batch_counts: numbers(snapshot.batches.counts),
        batch_sum: snapshot.batches.sum as f64,
        breaker: snapshot.breaker as u32,
        breaker_openings: snapshot.openings as f64,
        store_away: snapshot.away,
        store_outages: snapshot.outages as f64,
        store_away_ms: snapshot.away_time.as_millis() as f64,
        connections_open: connections.open() as f64,
        connections_opened: connections.opened_total() as f64,
        reconnects: connections.replacements() as f64,
        connects_failed: connections.failures() as f64,
    }
}

/// The errors that have occurred, by code: two kinds may share one.
fn errors(snapshot: &MetricsSnapshot) -> Vec<(String, f64)> {
    let mut errors: Vec<(String, f64)> = Vec::new();
    for (kind, &count) in ErrorKind::ALL.iter().zip(&snapshot.errors) {
        match errors.iter_mut().find(|(code, _)| code == kind.code()) {
            _ if count == 0 => {}
            Some((_, sum)) => *sum += count as f64,
            None => errors.push((kind.code().to_owned(), count as f64)),
        }
    }
    errors
}

pub(super) fn top_candidate(entry: TopEntry) -> TopCandidate {
    TopCandidate {
        id: entry.id.as_str().to_owned(),
        label: entry.label,
        limit: entry.limit.get(),
        requests: entry.requests as f64,
    }
}

// Counts stay far below 2^53: exact as doubles.
fn numbers(counts: impl IntoIterator<Item = u64>) -> Vec<f64> {
    counts.into_iter().map(|count| count as f64).collect()
}

fn milliseconds(us: Vec<u64>) -> Vec<f64> {
    us.into_iter().map(|us| us as f64 / 1000.0).collect()
}
