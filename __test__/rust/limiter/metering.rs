//! What is counted: every check once, by who decided it.

use std::sync::Arc;

use huntaze_rate_limit::limiter::{Limiter, OnStoreError, Source};
use huntaze_rate_limit::metrics::{BreakerState, Metrics};
use huntaze_rate_limit::store::{MemoryStore, Op};
use tokio::runtime::Handle;

use super::flaky_store::{DEADLINE, FlakyStore as Flaky};
use super::test_doubles::{Collector, collector, fallback, hour, metrics as meter};
use crate::requests::{request, scope};

fn of(source: Source, counts: [u64; 6]) -> u64 {
    counts[source as usize]
}

#[test]
fn memory_counts_checks_and_nothing_else() {
    let meter = meter();
    let store = Arc::new(MemoryStore::new());
    let limiter = Limiter::<Collector>::memory(hour(), store, Arc::clone(&meter));
    for _ in 0..5 {
        limiter.submit(request(Op::Check, "1", 3), 0);
    }
    limiter.submit(request(Op::Limit, "2", 3), 0);
    limiter.submit(request(Op::Status, "1", 3), 0);
    limiter.submit(request(Op::Reset, "1", 3), 0);
    let read = meter.snapshot();
    assert_eq!(of(Source::Memory, read.allowed), 4);
    assert_eq!(of(Source::Memory, read.denied), 2);
    assert_eq!(read.allowed.iter().chain(&read.denied).sum::<u64>(), 6);
    assert_eq!((read.failed, read.in_flight), (0, 0));
}

struct Away {
    store: Flaky,
    meter: Arc<Metrics>,
    limiter: Limiter<Collector>,
    answers: tokio::sync::mpsc::UnboundedReceiver<super::test_doubles::Settled>,
}

fn over_flaky(policy: OnStoreError) -> Away {
    let store = Flaky::default();
    let (sink, answers) = collector();
    let meter = meter();
    let limiter = Limiter::remote(
        &Handle::current(),
        Arc::new(store.clone()),
        scope("t", hour()),
        DEADLINE,
        fallback(policy),
        sink,
        Arc::clone(&meter),
    );
    Away {
        store,
        meter,
        limiter,
        answers,
    }
}

impl Away {
    async fn check(&mut self, id: &str) {
        if self.limiter.submit(request(Op::Check, id, 2), 0).is_none() {
            let _ = self.answers.recv().await.expect("an answer").1;
        }
    }
}

/// allowed + denied + failed is what was asked, whoever answered; and an outage shows in errors and in the breaker.
#[tokio::test(start_paused = true)]
async fn an_outage_is_counted() {
    for policy in OnStoreError::ALL {
        let mut it = over_flaky(policy);
        it.check("1").await;
        it.store.set_away(true);
        for _ in 0..6 {
            it.check("2").await;
        }
        let read = it.meter.snapshot();
        let (local, open, closed, failed) = match policy {
            OnStoreError::Local => ((2, 4), 0, 0, 0),
            OnStoreError::Open => ((0, 0), 6, 0, 0),
            OnStoreError::Closed => ((0, 0), 0, 6, 0),
            OnStoreError::Throw => ((0, 0), 0, 0, 6),
        };
        assert_eq!(of(Source::Redis, read.allowed), 1, "{policy:?}");
        assert_eq!(of(Source::Local, read.allowed), local.0, "{policy:?}");
        assert_eq!(of(Source::Local, read.denied), local.1, "{policy:?}");
        assert_eq!(of(Source::Open, read.allowed), open, "{policy:?}");
        assert_eq!(of(Source::Closed, read.denied), closed, "{policy:?}");
        assert_eq!(read.failed, failed, "{policy:?}");
        assert_eq!(read.errors.iter().sum::<u64>(), 6, "{policy:?}");
        assert_eq!(read.openings, 1, "{policy:?}");
        assert_ne!(read.breaker, BreakerState::Closed, "{policy:?}");
        assert_eq!(read.in_flight, 0, "{policy:?}");
        // What was not answered has no latency; what was sent is a batch all the same.
        assert_eq!(read.latency.counts.iter().sum::<u64>(), 1, "{policy:?}");
        assert_eq!(read.batches.sum, 4, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_in_flight_until_it_is_answered() {
    let mut it = over_flaky(OnStoreError::Throw);
    it.check("0").await;
    for n in 0..40 {
        let asked = it.limiter.submit(request(Op::Check, &n.to_string(), 2), 0);
        assert!(asked.is_none());
    }
    assert_eq!(it.meter.snapshot().in_flight, 40);
    for _ in 0..40 {
        let _ = it.answers.recv().await.expect("an answer").1;
    }
    let read = it.meter.snapshot();
    assert_eq!((read.in_flight, of(Source::Redis, read.allowed)), (0, 41));
    let batches: u64 = read.batches.counts.iter().sum();
    assert_eq!(read.latency.counts.iter().sum::<u64>(), batches);
    assert_eq!(read.batches.sum, 41);
}
