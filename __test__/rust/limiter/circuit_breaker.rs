//! The open circuit breaker: the policy decides, and only probes reach the store.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};

use super::fake_stores::Silent;
use super::outage::{DEADLINE, outage};
use super::simulation::Setup;
use crate::requests::request;

#[test]
fn an_open_breaker_sends_no_request() {
    for policy in [OnStoreError::Local, OnStoreError::Throw] {
        let mut outage = outage(policy);
        outage.go_away();
        let sent = outage.store.sent;
        for _ in 0..100 {
            match outage.source(Op::Check, "1") {
                Ok(source) => assert_eq!(source, Source::Local),
                // The error that opened it, with the same code.
                Err(kind) => assert_eq!((kind, policy), (ErrorKind::Refused, OnStoreError::Throw)),
            }
        }
        assert_eq!(outage.store.sent, sent);
        // The first probe comes after a second at the earliest.
        assert_eq!(outage.store.probes, 0);
    }
}

#[test]
fn two_probes_find_the_store_without_a_request() {
    let mut outage = outage(OnStoreError::Throw);
    outage.go_away();
    let sent = outage.store.sent;
    outage.store.away = false;
    // Without a request it is found within the longest of the first delays.
    outage.run(Duration::from_millis(1500));
    assert_eq!(outage.store.probes, 2);
    assert_eq!(outage.store.sent, sent);
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Redis));
}

/// A server that accepts connections and does not decide is probed about once a second, however often it connects.
#[test]
fn a_new_connection_brings_the_next_probe_forward_but_not_each() {
    let mut outage = outage(OnStoreError::Open);
    outage.go_away();
    outage.run(Duration::from_millis(100));
    assert_eq!(outage.store.probes, 0);
    outage.connect(0);
    outage.run(Duration::from_millis(1));
    assert_eq!(outage.store.probes, 1);
    for _ in 0..90 {
        outage.run(Duration::from_millis(10));
        outage.connect(0);
    }
    // Less than a second later.
    assert_eq!(outage.store.probes, 1);
    outage.run(Duration::from_millis(600));
    assert_eq!(outage.store.probes, 2);
    outage.store.away = false;
    outage.connect(0);
    outage.run(Duration::from_millis(1));
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Redis));
}

/// A connection that was made before the breaker opened is no sign of a recovery.
#[test]
fn an_earlier_connection_brings_no_probe_forward() {
    let mut outage = outage(OnStoreError::Open);
    outage.connect(0);
    outage.go_away();
    outage.run(Duration::from_millis(900));
    assert_eq!(outage.store.probes, 0);
}

/// Its probes have time, too: a quarter of a second or the deadline.
#[test]
fn a_probe_that_is_not_answered_in_time_is_abandoned() {
    for (deadline, budget) in [(10, 250), (100, 250), (400, 400)] {
        let deadline = Duration::from_millis(deadline);
        let mut silent = Setup::new(OnStoreError::Closed, deadline).over(Silent);
        for request_id in 0..3 {
            silent.submit(request(Op::Check, "1", 5), request_id);
            let _ = silent.recv();
        }
        silent.connect(0);
        // The three batches.
        assert_eq!(silent.abandoned, 3);
        silent.run(Duration::from_millis(budget - 1));
        assert_eq!(silent.abandoned, 3);
        silent.run(Duration::from_millis(1));
        assert_eq!(silent.abandoned, 4);
    }
}

/// A process that is stopped with a probe in flight has the answer in its socket when it continues.
#[test]
fn a_probe_survives_a_stop() {
    let mut silent = Setup::new(OnStoreError::Closed, DEADLINE).over(Silent);
    for request_id in 0..3 {
        silent.submit(request(Op::Check, "1", 5), request_id);
        let _ = silent.recv();
    }
    silent.connect(0);
    silent.stop(Duration::from_secs(3600));
    silent.run(Duration::from_millis(140));
    assert_eq!(silent.abandoned, 3);
    silent.run(Duration::from_millis(20));
    assert_eq!(silent.abandoned, 4);
}

/// Deadlines that passed while the process was stopped are no failures of the store.
#[test]
fn a_stopped_process_does_not_blame_the_store() {
    let mut silent = Setup::new(OnStoreError::Closed, DEADLINE).over(Silent);
    for request_id in 0..20 {
        silent.submit(request(Op::Check, "1", 5), request_id);
        silent.stop(Duration::from_secs(60));
        assert_eq!(silent.recv().1.unwrap().source, Source::Closed);
    }
    assert!(silent.limiters[0].changes.is_empty());
}
