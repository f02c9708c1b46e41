//! Metrics count every check once, by its source.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{Memory, OnStoreError, Source};
use huntaze_rate_limit::metrics::BreakerState;
use huntaze_rate_limit::store::{MemoryStore, Op};

use super::outage::outage;
use super::simulation::{hour, metrics};
use crate::requests::request;

/// The count of one source.
fn of(source: Source, counts: [u64; 6]) -> u64 {
    counts[source as usize]
}

#[test]
fn the_embedded_store_counts_checks_and_no_other_operations() {
    let metrics = metrics();
    let store = Arc::new(MemoryStore::new());
    let limiter = Memory::new(hour(), store, Arc::clone(&metrics));
    for _ in 0..5 {
        limiter.answer(&request(Op::Check, "1", 3), 0);
    }
    limiter.answer(&request(Op::Limit, "2", 3), 0);
    limiter.answer(&request(Op::Status, "1", 3), 0);
    limiter.answer(&request(Op::Reset, "1", 3), 0);
    let snapshot = metrics.snapshot();
    assert_eq!(of(Source::Memory, snapshot.allowed), 4);
    assert_eq!(of(Source::Memory, snapshot.denied), 2);
    assert_eq!(
        snapshot.allowed.iter().chain(&snapshot.denied).sum::<u64>(),
        6
    );
    assert_eq!((snapshot.failed, snapshot.in_flight), (0, 0));
}

/// allowed + denied + failed is the number of checks, whatever decided them. An outage shows in errors and in the breaker.
#[test]
fn an_outage_is_counted() {
    for policy in OnStoreError::ALL {
        let mut test = outage(policy);
        let _ = test.ask(Op::Check, "1", 2);
        test.store.away = true;
        for _ in 0..6 {
            let _ = test.ask(Op::Check, "2", 2);
        }
        let snapshot = test.metrics().snapshot();
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

#[test]
fn requests_are_in_flight_until_they_are_answered() {
    let mut test = outage(OnStoreError::Throw);
    let _ = test.ask(Op::Check, "0", 2);
    for n in 0..40 {
        let answer = test.submit(request(Op::Check, &n.to_string(), 2), 0);
        assert!(answer.is_none());
    }
    assert_eq!(test.metrics().snapshot().in_flight, 40);
    for _ in 0..40 {
        let _ = test.recv();
    }
    let snapshot = test.metrics().snapshot();
    assert_eq!(
        (snapshot.in_flight, of(Source::Redis, snapshot.allowed)),
        (0, 41)
    );
    let batches: u64 = snapshot.batches.counts.iter().sum();
    assert_eq!(snapshot.latency.counts.iter().sum::<u64>(), batches);
    assert_eq!(snapshot.batches.sum, 41);
}

/// A closed limiter that is dropped leaves nothing behind in the metrics of its name.
#[test]
fn a_limiter_that_is_gone_is_not_counted() {
    let mut test = outage(OnStoreError::Local);
    test.go_away();
    let metrics = Arc::clone(&test.limiters[0].metrics);
    assert_eq!(metrics.snapshot().breaker, BreakerState::Open);
    test.run(Duration::from_millis(10));
    test.limiters.clear();
    assert_eq!(metrics.snapshot().breaker, BreakerState::Closed);
}
