//! `cargo bench`: the cost of a decision without JavaScript, Redis or a network.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use huntaze_rate_limit::limiter::{Answer, Source};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{
    Clock, Decision, Id, Limit, Log, Millis, Namespace, Outcome, Quota, Rules, Verdict, Window,
    escape,
};
use huntaze_rate_limit::store::{MemoryStore, Op, Request};

const HOUR: Millis = 3_600_000;
const START: Millis = 1_753_000_000_000;

fn quota(limit: u32) -> Quota {
    Quota {
        limit: Limit::new(limit).unwrap(),
        window: Window::new(HOUR).unwrap(),
    }
}

/// A full log whose oldest admission expires just as the next request comes: the most expensive admission.
fn log(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    for limit in [50, 500, 100_000] {
        let quota = quota(limit);
        let step = HOUR / Millis::from(limit);
        let mut log = Log::default();
        let mut now = START;
        for _ in 0..limit {
            now += step;
            log.check(now, quota);
        }
        group.bench_with_input(BenchmarkId::new("admit", limit), &quota, |b, &quota| {
            b.iter(|| {
                now += step;
                black_box(log.check(black_box(now), quota))
            });
        });
        group.bench_with_input(BenchmarkId::new("deny", limit), &quota, |b, &quota| {
            b.iter(|| black_box(log.check(black_box(now), quota)));
        });
    }
}

/// A clock that moves by a millisecond at each read: it costs nothing, and logs drain.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Millis {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// One check for each of `ids` creators.
fn requests(ids: u32) -> Vec<Request> {
    let ids = (0..ids).map(|i| Id::new(format!("creator-{i}")).unwrap());
    ids.map(|id| Request {
        op: Op::Check,
        id,
        limit: Limit::new(100).unwrap(),
    })
    .collect()
}

fn memory(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory store");
    group.throughput(Throughput::Elements(1));
    let rules = Rules {
        window: Window::new(HOUR).unwrap(),
        anomaly: None,
    };
    for ids in [1_000_u32, 100_000] {
        let store = MemoryStore::with_clock(Ticking(AtomicU64::new(START)), ids as usize);
        let requests = requests(ids);
        // Not in order: real requests do not come in the order of memory.
        let mut at = 0;
        group.bench_function(BenchmarkId::new("check", ids), |b| {
            b.iter(|| {
                at = (at + 7919) % requests.len();
                black_box(store.answer(rules, &requests[at]))
            });
        });
    }
}

fn key(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    let name = Namespace::new("creator").unwrap();
    for (kind, id) in [
        ("number", "184467440"),
        ("uuid", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("escaped", "user:{7}*\n/ü"),
    ] {
        let id = Id::new(id).unwrap();
        let mut out = String::with_capacity(128);
        group.bench_function(kind, |b| {
            b.iter(|| {
                out.clear();
                name.write_key(black_box(&id), &mut out);
                black_box(out.len())
            });
        });
    }
    group.bench_function("log line", |b| {
        b.iter(|| black_box(escape(black_box("user:{7}*\n/ü"))));
    });
}

/// The cost of the metrics of a check, top-k included: one id that sends all requests, and one of many, with all of the quota
/// left and with little.
fn metrics(c: &mut Criterion) {
    let mut group = c.benchmark_group("metrics");
    for (ids, remaining) in [(1_u32, 99), (10_000, 99), (10_000, 1)] {
        let answer = Answer {
            outcome: Outcome::of(Decision {
                verdict: Verdict::Allowed,
                remaining,
                reset: START,
                reset_after: 0,
            }),
            source: Source::Memory,
        };
        let metrics = Metrics::new(quota(100).window);
        let requests = requests(ids);
        let now = std::time::Instant::now();
        let mut at = 0;
        let left = format!("{ids} ids, {remaining} of 100 left");
        group.bench_function(BenchmarkId::new("on answer", left), |b| {
            b.iter(|| {
                at = (at + 7919) % requests.len();
                metrics.on_answer(black_box(&requests[at]), 0, &answer, now);
            });
        });
    }
}

criterion_group!(benches, log, memory, key, metrics);
criterion_main!(benches);
