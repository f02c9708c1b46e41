//! The eager send: a request of an idle limiter leaves in the caller's call, and completes like any other.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};

use super::fake_stores::{Failing, Logged, Recording, Silent};
use super::simulation::{Setup, hour};
use crate::requests::request;

const FAR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(50);

#[test]
fn the_request_leaves_before_the_call_returns() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over_clock(|c| Logged::new(c, hour()));
    for request_id in 0..5 {
        assert!(it.submit(request(Op::Check, "a", 5), request_id).is_none());
        assert_eq!(it.store.ops().len(), request_id as usize + 1);
        let (answered, answer) = it.recv();
        assert_eq!(
            (answered, answer.unwrap().source),
            (request_id, Source::Redis)
        );
    }
}

#[test]
fn later_requests_wait_for_the_driver() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Recording::late(SOON));
    for request_id in 0..300 {
        it.submit(request(Op::Check, "7", 5), request_id);
    }
    assert_eq!(it.store.batches.len(), 1);
    for expected in 0..300 {
        let (request_id, answer) = it.recv();
        assert_eq!(answer.unwrap().source, Source::Redis);
        assert_eq!(request_id, expected);
    }
}

#[test]
fn the_deadline_holds_for_one_request_after_another() {
    let mut it = Setup::new(OnStoreError::Throw, SOON).over(Silent);
    for request_id in 0..3 {
        let begun = it.elapsed();
        it.submit(request(Op::Check, "a", 5), request_id);
        let (answered, answer) = it.recv();
        assert_eq!(
            (answered, answer.unwrap_err().kind()),
            (request_id, ErrorKind::Timeout)
        );
        assert_eq!(it.elapsed() - begun, SOON);
    }
}

#[test]
fn the_request_completes_when_the_runtime_ends_or_has_ended() {
    for ended_before in [false, true] {
        let mut it = Setup::new(OnStoreError::Open, FAR).over(Silent);
        if ended_before {
            it.abort();
        }
        let at_once = it.submit(request(Op::Check, "a", 5), 0);
        if !ended_before {
            it.abort();
        }
        let later = it.try_recv();
        // In the call where the runtime has ended, and later otherwise.
        assert_eq!(
            (at_once.is_some(), later.is_some()),
            (ended_before, !ended_before)
        );
        let later = later.map(|(_, answer)| answer.unwrap());
        let answer = at_once.map(|(_, answer)| answer).or(later).unwrap();
        assert_eq!(answer.source, Source::Open);
        it.run_to_end();
        assert!(it.try_recv().is_none());
        assert!(it.limiters[0].remote.is_closed());
    }
}

#[test]
fn a_store_that_fails_at_once_fails_one_request() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Failing(ErrorKind::Refused));
    for request_id in 0..3 {
        it.submit(request(Op::Check, "a", 5), request_id);
        let (_, answer) = it.recv();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused);
    }
}
