//! What is counted of a limiter: who decided what, how long the store took, and who asks most.
//!
//! An answer adds one to one relaxed atomic, and a batch a few: the numbers are read together, but not at one moment. No
//! number is kept for an id but in [`Top`], which is bounded.

mod histogram;
mod outages;
pub mod registry;
mod top_k;

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;

pub use histogram::{Histogram, HistogramSnapshot};
use outages::Outages;
pub use top_k::{Entry, Label, MAX_ENTRIES, Sample, TICK_SECONDS, TopK};

use crate::quota::Window;
use crate::store::{Answer, ErrorKind, Op, Request, Source, StoreError};

/// Upper bounds of the time a batch is under way, in microseconds: from a server next door to one that is late.
const LATENCY_BUCKETS_US: [u64; 14] = [
    100, 200, 400, 700, 1_000, 2_000, 4_000, 7_000, 10_000, 20_000, 50_000, 100_000, 250_000,
    1_000_000,
];

/// Upper bounds of the requests in a batch. The last is the largest batch there is.
const BATCH_SIZE_BUCKETS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// What the limiters of one name count, on whatever threads.
pub struct Metrics {
    begun: Instant,
    /// When that was, in seconds since the Unix epoch.
    epoch: u64,
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
    gauges: Mutex<Vec<Weak<dyn Gauge>>>,
}

/// What is read off a limiter that is open, when somebody asks.
pub trait Gauge: Send + Sync {
    /// Requests that wait for their answer.
    fn in_flight(&self) -> usize;

    /// What its breaker does.
    fn breaker(&self) -> BreakerState;
}

/// What a breaker does, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum BreakerState {
    /// Requests are sent.
    #[default]
    Closed,
    /// A probe asks whether the store is back, or it is being told what was decided without it.
    HalfOpen,
    /// Nothing is sent.
    Open,
}

/// What a meter shows.
#[derive(Debug, Clone, Default)]
pub struct MetricsSnapshot {
    /// Checks allowed, by the position of their source in [`Source::ALL`].
    pub allowed: [u64; Source::ALL.len()],
    /// Checks denied, likewise.
    pub denied: [u64; Source::ALL.len()],
    /// Checks without a decision.
    pub failed: u64,
    /// Anomalies reported.
    pub anomalies: u64,
    /// Requests that the store did not answer, by the position of the reason in [`ErrorKind::ALL`].
    pub errors: [u64; ErrorKind::ALL.len()],
    /// How often a breaker has opened.
    pub openings: u64,
    /// Whether the store is away for a limiter of the name.
    pub away: bool,
    /// How often it has gone away.
    pub outages: u64,
    /// How long it has been away, in all.
    pub away_time: Duration,
    /// How long batches were under way until they were answered or given up, in microseconds.
    pub latency: HistogramSnapshot,
    /// How many requests were in them.
    pub batches: HistogramSnapshot,
    /// Requests that wait for their answer.
    pub in_flight: usize,
    /// The worst of the breakers.
    pub breaker: BreakerState,
}

impl MetricsSnapshot {
    /// What a meter shows that has counted nothing.
    pub fn empty() -> Self {
        Self {
            latency: Histogram::new(LATENCY_BUCKETS_US).snapshot(),
            batches: Histogram::new(BATCH_SIZE_BUCKETS).snapshot(),
            ..Self::default()
        }
    }
}

impl Metrics {
    /// A meter of limiters with this window.
    pub fn new(window: Window) -> Self {
        Self {
            begun: Instant::now(),
            epoch: SystemTime::now()
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

    /// `request` has been answered at `now`.
    pub fn on_answer(&self, request: &Request, label: Label, answer: &Answer, now: Instant) {
        let seconds = self.epoch + now.saturating_duration_since(self.begun).as_secs();
        self.on_decision(request, label, answer, seconds);
    }

    /// `request` has been answered so many seconds after the Unix epoch.
    pub(super) fn on_decision(
        &self,
        request: &Request,
        label: Label,
        answer: &Answer,
        seconds: u64,
    ) {
        let Answer { outcome, source } = answer;
        if outcome.count.anomaly().is_some() {
            add(&self.anomalies, 1);
        }
        if !request.op.takes_a_slot() {
            return;
        }
        let allowed = outcome.decision.is_allowed();
        let by_source = if allowed { &self.allowed } else { &self.denied };
        let before = by_source[*source as usize].fetch_add(1, Ordering::Relaxed);
        let look = sample(request, label, answer);
        self.top.update(&look, seconds / TICK_SECONDS, before);
    }

    /// `request` gets no decision.
    pub fn on_failure(&self, request: &Request) {
        add(&self.failed, u64::from(request.op.takes_a_slot()));
    }

    /// The store has not answered `request`, whatever becomes of it.
    pub fn on_store_error(&self, request: &Request, error: &StoreError) {
        if !matches!(request.op, Op::Denied(_)) {
            add(&self.errors[error.kind() as usize], 1);
        }
    }

    /// A batch of so many requests is being sent.
    pub(super) fn on_batch_sent(&self, requests: usize) {
        self.batches.observe(requests as u64);
    }

    /// A batch has been answered, or given up, after `time`.
    pub(super) fn on_batch_done(&self, time: Duration) {
        self.latency.observe(time.as_micros() as u64);
    }

    /// A breaker has opened.
    pub(super) fn on_breaker_opened(&self) {
        add(&self.openings, 1);
    }

    /// The store has gone away for a limiter.
    pub(super) fn on_store_away(&self, now: Instant) {
        self.outages.lock().away(now);
    }

    /// It is back for that limiter, or that has been closed.
    pub(super) fn on_store_back(&self, now: Instant) {
        self.outages.lock().back(now);
    }

    /// `gauge` is read with the rest, while it is there.
    pub(super) fn add_gauge(&self, gauge: Weak<dyn Gauge>) {
        let mut gauges = self.gauges.lock();
        gauges.retain(|gauge| gauge.strong_count() > 0);
        gauges.push(gauge);
    }

    /// What it shows.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let gauges: Vec<_> = self
            .gauges
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
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
            in_flight: gauges.iter().map(|gauge| gauge.in_flight()).sum(),
            breaker: gauges.iter().map(|g| g.breaker()).max().unwrap_or_default(),
        }
    }

    /// Up to `count` of those who ask most for their limit, first who asks most.
    pub fn top(&self, count: usize) -> Vec<Entry> {
        self.top.top(count)
    }

    /// Forgets who asks, and goes on counting.
    pub fn clear_top(&self) {
        self.top.clear();
    }
}

/// What of an answer is of interest to who lists the askers.
fn sample<'a>(request: &'a Request, label: Label, answer: &Answer) -> Sample<'a> {
    let Request { op, id, limit } = request;
    let decision = answer.outcome.decision;
    let remaining = match (answer.source, op) {
        (Source::Closed, _) => None,
        _ if !decision.is_allowed() => Some(0),
        (Source::Memory | Source::Local, _) | (Source::Redis, Op::Limit) => {
            Some(decision.remaining)
        }
        // Not looked up, or nobody's word.
        _ => None,
    };
    let used = remaining.map(|remaining| limit.get() - remaining);
    let near = used.is_some_and(|used| u64::from(used) * 8 >= u64::from(limit.get()) * 7);
    // An admission near the quota; a denial that came from far. Denials that cost nothing may be many.
    let telling = if decision.is_allowed() {
        near
    } else {
        answer.source == Source::Redis
    };
    Sample {
        id,
        limit: *limit,
        label,
        used,
        near_limit: telling,
        // Over the network a request takes 4 us, here less than 1; and here each look says how much is used.
        one_in_bits: if answer.source == Source::Redis { 5 } else { 8 },
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
