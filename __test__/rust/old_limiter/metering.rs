//! Metrics count every check once, by its source.

use std::sync::Arc;

use huntaze_rate_limit::metrics::{BreakerState, Metrics};
use huntaze_rate_limit::old_limiter::{Limiter, OnStoreError, Source};
use huntaze_rate_limit::store::{MemoryStore, Op};
use tokio::runtime::Handle;

use super::flaky_store::{DEADLINE, FlakyStore};
use super::test_doubles::{Collector, collector, fallback, hour, metrics};
use crate::requests::{request, scope};

/// The count of one source.
fn of(source: Source, counts: [u64; 6]) -> u64 {
    counts[source as usize]
}

#[test]
fn the_embedded_store_counts_checks_and_no_other_operations() {
    let metrics = metrics();
    let store = Arc::new(MemoryStore::new());
    let limiter = Limiter::<Collector>::memory(hour(), store, Arc::clone(&metrics));
    for _ in 0..5 {
        limiter.submit(request(Op::Check, "1", 3), 0);
    }
    limiter.submit(request(Op::Limit, "2", 3), 0);
    limiter.submit(request(Op::Status, "1", 3), 0);
    limiter.submit(request(Op::Reset, "1", 3), 0);
    let snapshot = metrics.snapshot();
    assert_eq!(of(Source::Memory, snapshot.allowed), 4);
    assert_eq!(of(Source::Memory, snapshot.denied), 2);
    assert_eq!(
        snapshot.allowed.iter().chain(&snapshot.denied).sum::<u64>(),
        6
    );
    assert_eq!((snapshot.failed, snapshot.in_flight), (0, 0));
}

/// A limiter over a store that a test can take away, and its metrics.
struct OverFlaky {
    store: FlakyStore,
    metrics: Arc<Metrics>,
    limiter: Limiter<Collector>,
    answers: tokio::sync::mpsc::UnboundedReceiver<super::test_doubles::Settled>,
}

fn over_flaky(policy: OnStoreError) -> OverFlaky {
    let store = FlakyStore::default();
    let (sink, answers) = collector();
    let metrics = metrics();
    let limiter = Limiter::remote(
        &Handle::current(),
        Arc::new(store.clone()),
        scope("t", hour()),
        DEADLINE,
        fallback(policy),
        sink,
        Arc::clone(&metrics),
    );
    OverFlaky {
        store,
        metrics,
        limiter,
        answers,
    }
}

impl OverFlaky {
    async fn check(&mut self, id: &str) {
        if self.limiter.submit(request(Op::Check, id, 2), 0).is_none() {
            let _ = self.answers.recv().await.expect("an answer").1;
        }
    }
}

/// allowed + denied + failed is the number of checks, whatever decided them. An outage shows in errors and in the breaker.
#[tokio::test(start_paused = true)]
async fn an_outage_is_counted() {
    for policy in OnStoreError::ALL {
        let mut test = over_flaky(policy);
        test.check("1").await;
        test.store.set_away(true);
        for _ in 0..6 {
            test.check("2").await;
        }
        let snapshot = test.metrics.snapshot();
        let (local, open, closed, failed) = match policy {
            OnStoreError::Local => ((2, 4), 0, 0, 0),
            OnStoreError::Open => ((0, 0), 6, 0, 0),
            OnStoreError::Closed => ((0, 0), 0, 6, 0),
            OnStoreError::Throw => ((0, 0), 0, 0, 6),
        };
        assert_eq!(of(Source::Redis, snapshot.allowed), 1, "{policy:?}");
        assert_eq!(of(Source::Local, snapshot.allowed), local.0, "{policy:?}");
        assert_eq!(of(Source::Local, snapshot.denied), local.1, "{policy:?}");
        assert_eq!(of(Source::Open, snapshot.allowed), open, "{policy:?}");
        assert_eq!(of(Source::Closed, snapshot.denied), closed, "{policy:?}");
        assert_eq!(snapshot.failed, failed, "{policy:?}");
        assert_eq!(snapshot.errors.iter().sum::<u64>(), 6, "{policy:?}");
        assert_eq!(snapshot.openings, 1, "{policy:?}");
        assert_ne!(snapshot.breaker, BreakerState::Closed, "{policy:?}");
        assert_eq!(snapshot.in_flight, 0, "{policy:?}");
        // A batch without an answer has no latency, and counts as a batch all the same.
        assert_eq!(snapshot.latency.counts.iter().sum::<u64>(), 1, "{policy:?}");
        assert_eq!(snapshot.batches.sum, 4, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_in_flight_until_they_are_answered() {
    let mut test = over_flaky(OnStoreError::Throw);
    test.check("0").await;
    for n in 0..40 {
        let answer = test
            .limiter
            .submit(request(Op::Check, &n.to_string(), 2), 0);
        assert!(answer.is_none());
    }
    assert_eq!(test.metrics.snapshot().in_flight, 40);
    for _ in 0..40 {
        let _ = test.answers.recv().await.expect("an answer").1;
    }
    let snapshot = test.metrics.snapshot();
    assert_eq!(
        (snapshot.in_flight, of(Source::Redis, snapshot.allowed)),
        (0, 41)
    );
    let batches: u64 = snapshot.batches.counts.iter().sum();
    assert_eq!(snapshot.latency.counts.iter().sum::<u64>(), batches);
    assert_eq!(snapshot.batches.sum, 41);
}
