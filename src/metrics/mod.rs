//! Metrics of a limiter: decisions by source, the latency of the store, and the ids nearest to their limit.
//!
//! An answer increments one relaxed atomic, and a batch a few. A snapshot reads them one after the other, not at one moment.
//! Numbers by id exist only in [`TopK`], which is bounded.

mod gauge;
mod histogram;
mod outages;
pub mod registry;
mod top_k;

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

pub use gauge::{BreakerState, Gauge};
use histogram::Histogram;
pub use histogram::HistogramSnapshot;
use outages::Outages;
pub use top_k::{Label, TopEntry};
use top_k::{Sample, TICK_SECONDS, TopK};

use crate::quota::Window;
use crate::store::{Answer, ErrorKind, Op, Request, Source, StoreError};

/// Upper bounds of a batch's latency, in microseconds: from a server in the same zone to a late answer.
const LATENCY_BUCKETS_US: [u64; 14] = [
    100, 200, 400, 700, 1_000, 2_000, 4_000, 7_000, 10_000, 20_000, 50_000, 100_000, 250_000,
    1_000_000,
];

/// Upper bounds of the number of requests in a batch. The last is the largest batch.
const BATCH_SIZE_BUCKETS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// The metrics of all limiters of one name, on all threads.
pub struct Metrics {
    started: Instant,
    /// `started` in seconds since the Unix epoch.
    started_at: u64,
    allowed: [AtomicU64; Source::ALL.len()],
    denied: [AtomicU64; Source::ALL.len()],
    failed: AtomicU64,
    anomalies: AtomicU64,
    errors: [AtomicU64; ErrorKind::ALL.len()],
    openings: AtomicU64,
    outages: Mutex<Outages>,
    latency: Histogram<{ LATENCY_BUCKETS_US.len() }>,
    batches: Histogram<{ BATCH_SIZE_BUCKETS.len() }>,
    top: TopK,
    gauges: Mutex<Vec<Weak<Gauge>>>,
}

/// The values of [`Metrics`] at a moment.
#[derive(Debug, Clone, Default)]
pub struct MetricsSnapshot {
    /// Checks allowed, by the position of their source in [`Source::ALL`].
    pub allowed: [u64; Source::ALL.len()],
    /// Checks denied, by the same position.
    pub denied: [u64; Source::ALL.len()],
    /// Checks without a decision.
    pub failed: u64,
    /// Anomalies reported.
    pub anomalies: u64,
    /// Requests that the store did not answer, by the position of the error in [`ErrorKind::ALL`].
    pub errors: [u64; ErrorKind::ALL.len()],
    /// The number of times that a breaker has opened.
    pub openings: u64,
    /// Whether the store is away for at least one limiter of the name.
    pub away: bool,
    /// The number of outages.
    pub outages: u64,
    /// The total length of the outages.
    pub away_time: Duration,
    /// Latency of batches until the answer or the deadline, in microseconds.
    pub latency: HistogramSnapshot,
    /// Requests per batch.
    pub batches: HistogramSnapshot,
    /// The number of unanswered requests.
    pub in_flight: usize,
    /// The worst state of the breakers.
    pub breaker: BreakerState,
}

impl MetricsSnapshot {
    /// The snapshot of metrics that have counted nothing.
    pub fn empty() -> Self {
        Self {
            latency: Histogram::new(LATENCY_BUCKETS_US).snapshot(),
            batches: Histogram::new(BATCH_SIZE_BUCKETS).snapshot(),
            ..Self::default()
        }
    }
}

impl Metrics {
    /// Metrics of limiters with this window.
    pub fn new(window: Window) -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            allowed: Default::default(),
            denied: Default::default(),
            failed: AtomicU64::new(0),
            anomalies: AtomicU64::new(0),
            errors: Default::default(),
            openings: AtomicU64::new(0),
            outages: Mutex::default(),
            latency: Histogram::new(LATENCY_BUCKETS_US),
            batches: Histogram::new(BATCH_SIZE_BUCKETS),
            top: TopK::new(window),
            gauges: Mutex::default(),
        }
    }

    /// Counts an answer that was given at `now`.
    pub fn on_answer(&self, request: &Request, label: Label, answer: &Answer, now: Instant) {
        let seconds = self.started_at + now.saturating_duration_since(self.started).as_secs();
        self.on_decision(request, label, answer, seconds);
    }

    /// Counts an answer that was given `seconds` after the Unix epoch.
    pub(super) fn on_decision(
        &self,
        request: &Request,
        label: Label,
        answer: &Answer,
        seconds: u64,
    ) {
        let Answer { outcome, source } = answer;
        if outcome.anomaly_status.anomaly().is_some() {
            add(&self.anomalies, 1);
        }
        if !request.op.takes_a_slot() {
            return;
        }
        let allowed = outcome.decision.is_allowed();
        let by_source = if allowed { &self.allowed } else { &self.denied };
        let before = by_source[*source as usize].fetch_add(1, Ordering::Relaxed);
        let sample = sample(request, label, answer);
        self.top.update(&sample, seconds / TICK_SECONDS, before);
    }

    /// Counts a request that gets no decision.
    pub fn on_failure(&self, request: &Request) {
        add(&self.failed, u64::from(request.op.takes_a_slot()));
    }

    /// Counts an error of the store, whether or not the fallback decides `request`.
    pub fn on_store_error(&self, request: &Request, error: &StoreError) {
        if !matches!(request.op, Op::CountDenials(_)) {
            add(&self.errors[error.kind() as usize], 1);
        }
    }

    /// Counts a batch of `requests` that is being sent.
    pub(super) fn on_batch_sent(&self, requests: usize) {
        self.batches.observe(requests as u64);
    }

    /// Counts a batch that was answered, or reached its deadline, after `time`.
    pub(super) fn on_batch_done(&self, time: Duration) {
        self.latency.observe(time.as_micros() as u64);
    }

    /// Counts the opening of a breaker.
    pub(super) fn on_breaker_opened(&self) {
        add(&self.openings, 1);
    }

    /// The store is away for one more limiter.
    pub(super) fn on_store_away(&self, now: Instant) {
        self.outages.lock().away(now);
    }

    /// The store is back for one of these limiters, or that limiter has been closed.
    pub(super) fn on_store_back(&self, now: Instant) {
        self.outages.lock().back(now);
    }

    /// Adds a gauge, which snapshots read until it is dropped.
    pub(super) fn add_gauge(&self, gauge: Weak<Gauge>) {
        let mut gauges = self.gauges.lock();
        gauges.retain(|gauge| gauge.strong_count() > 0);
        gauges.push(gauge);
    }

    /// Its present values.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let (in_flight, breaker) = self.read_gauges();
        let (away, outages, away_time) = self.outages.lock().snapshot(Instant::now());
        MetricsSnapshot {
            away,
            outages,
            away_time,
            allowed: self.allowed.each_ref().map(get),
            denied: self.denied.each_ref().map(get),
            failed: get(&self.failed),
            anomalies: get(&self.anomalies),
            errors: self.errors.each_ref().map(get),
            openings: get(&self.openings),
            latency: self.latency.snapshot(),
            batches: self.batches.snapshot(),
            in_flight,
            breaker,
        }
    }

    /// The unanswered requests of all open limiters, and the worst state of their breakers.
    fn read_gauges(&self) -> (usize, BreakerState) {
        let gauges = self.gauges.lock();
        let mut sum = (0, BreakerState::default());
        for gauge in gauges.iter().filter_map(Weak::upgrade) {
            sum = (sum.0 + gauge.in_flight(), sum.1.max(gauge.breaker()));
        }
        sum
    }

    /// At most `count` of the ids nearest to their limit, the nearest first.
    pub fn top(&self, count: usize) -> Vec<TopEntry> {
        self.top.top(count)
    }

    /// Empties the list of ids; the counters stay.
    pub fn clear_top(&self) {
        self.top.clear();
    }
}

/// The sample of a request for the list of top candidates.
fn sample<'a>(request: &'a Request, label: Label, answer: &Answer) -> Sample<'a> {
    let Request { op, id, limit } = request;
    let decision = answer.outcome.decision;
    let remaining = match (answer.source, op) {
        (Source::Closed, _) => None,
        _ if !decision.is_allowed() => Some(0),
        (Source::Memory | Source::Local, _) | (Source::Redis, Op::Limit) => {
            Some(decision.remaining)
        }
        // The store did not look it up, or no log decided.
        _ => None,
    };
    let used = remaining.map(|remaining| limit.get() - remaining);
    let near = used.is_some_and(|used| u64::from(used) * 8 >= u64::from(limit.get()) * 7);
    // Admissions near the limit, and denials by Redis. Repeated and local denials may come in any number.
    let near_limit = if decision.is_allowed() {
        near
    } else {
        answer.source == Source::Redis
    };
    Sample {
        id,
        limit: *limit,
        label,
        used,
        near_limit,
        // A request over the network takes 4 us, one that is decided here less than 1, and a sample of the latter always knows
        // how much of the limit is used.
        one_in_bits: if answer.source == Source::Redis { 5 } else { 8 },
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A process may open and close a limiter for each request.
    #[test]
    fn gauges_of_dropped_limiters_are_not_kept() {
        let metrics = Metrics::new(Window::new(1000).unwrap());
        let open = Arc::<Gauge>::default();
        metrics.add_gauge(Arc::downgrade(&open));
        for _ in 0..10 {
            metrics.add_gauge(Arc::downgrade(&Arc::default()));
        }
        assert_eq!(metrics.gauges.lock().len(), 2);
    }
}
