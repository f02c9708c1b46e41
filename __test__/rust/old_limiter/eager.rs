//! The eager send: where the store is ready, a request of an idle limiter leaves in the caller's call, and settles like any other.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, MemoryStore, Op};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::test_doubles::{Connecting, Failing, Late, Logged, Panicking, Ready, Silent, limiter};
use crate::requests::request;

const FAR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(50);

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap()
}

/// The runtime has not run yet, and the store has the request.
#[test]
fn the_request_leaves_before_the_call_returns() {
    let runtime = runtime();
    let store = Logged::over(Arc::new(MemoryStore::new()));
    let ready = Ready(store.clone());
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for request_id in 0..5 {
        assert!(
            limiter
                .submit(request(Op::Check, "a", 5), request_id)
                .is_none()
        );
        assert_eq!(store.ops().len(), request_id as usize + 1);
        // This store answers at once, too.
        let (answered, answer) = answers.try_recv().unwrap();
        assert_eq!(
            (answered, answer.unwrap().source),
            (request_id, Source::Redis)
        );
    }
}

/// A connection may break between the check of its state and the first poll.
#[test]
fn a_store_that_is_no_longer_ready_reconnects() {
    let runtime = runtime();
    let ready = Ready(Connecting);
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for request_id in 0..3 {
        assert!(
            limiter
                .submit(request(Op::Check, "7", 5), request_id)
                .is_none()
        );
        let (answered, answer) = runtime.block_on(answers.recv()).unwrap();
        assert_eq!(
            (answered, answer.unwrap().source),
            (request_id, Source::Redis)
        );
    }
}

#[test]
fn later_requests_wait_for_the_task() {
    let runtime = runtime();
    let ready = Ready(Late(SOON));
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for request_id in 0..300 {
        limiter.submit(request(Op::Check, "7", 5), request_id);
    }
    runtime.block_on(async {
        let mut request_ids = Vec::new();
        for _ in 0..300 {
            let (request_id, answer) = answers.recv().await.unwrap();
            assert_eq!(answer.unwrap().source, Source::Redis);
            request_ids.push(request_id);
        }
        request_ids.sort();
        assert_eq!(request_ids, (0..300).collect::<Vec<_>>());
    });
}

#[test]
fn the_deadline_holds_for_one_request_after_another() {
    let runtime = runtime();
    // For its paused clock.
    let _entered = runtime.enter();
    let (limiter, mut answers) =
        limiter(runtime.handle(), Ready(Silent), OnStoreError::Throw, SOON);
    for request_id in 0..3 {
        let begun = Instant::now();
        limiter.submit(request(Op::Check, "a", 5), request_id);
        let (answered, answer) = runtime.block_on(answers.recv()).unwrap();
        assert_eq!(
            (answered, answer.unwrap_err().kind()),
            (request_id, ErrorKind::Timeout)
        );
        assert_eq!(begun.elapsed(), SOON);
    }
}

#[test]
fn the_request_settles_when_the_runtime_ends_or_has_ended() {
    for ended_before in [false, true] {
        let runtime = runtime();
        let handle = runtime.handle().clone();
        let (limiter, mut answers) = limiter(&handle, Ready(Silent), OnStoreError::Open, FAR);
        let mut runtime = Some(runtime);
        if ended_before {
            drop(runtime.take());
        }
        let at_once = limiter.submit(request(Op::Check, "a", 5), 0);
        drop(runtime);
        drop(limiter);
        let later = answers.blocking_recv();
        // In the call where there is no runtime left, and later otherwise.
        assert_eq!(
            (at_once.is_some(), later.is_some()),
            (ended_before, !ended_before)
        );
        let later = later.map(|(_, answer)| answer.unwrap());
        let answer = at_once.map(|(_, answer)| answer).or(later).unwrap();
        assert_eq!(answer.source, Source::Open);
        assert!(answers.blocking_recv().is_none());
    }
}

#[test]
fn a_store_that_fails_at_once_fails_one_request() {
    let runtime = runtime();
    let failing = Ready(Failing(ErrorKind::Refused));
    let (limiter, mut answers) = limiter(runtime.handle(), failing, OnStoreError::Throw, FAR);
    for request_id in 0..3 {
        limiter.submit(request(Op::Check, "a", 5), request_id);
        let (_, answer) = answers.try_recv().unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused);
    }
}

/// The panic reaches the caller: the N-API layer, which catches it. The request settles all the same.
#[test]
fn a_store_that_panics_at_once_leaves_no_request_open() {
    let runtime = runtime();
    let panicking = Ready(Panicking { at_once: true });
    let (limiter, mut answers) = limiter(runtime.handle(), panicking, OnStoreError::Local, FAR);
    for request_id in 0..3 {
        let asked = std::panic::AssertUnwindSafe(|| {
            limiter.submit(request(Op::Check, "a", 5), request_id);
        });
        assert!(std::panic::catch_unwind(asked).is_err());
        let (_, answer) = answers.try_recv().unwrap();
        assert_eq!(answer.unwrap().source, Source::Local);
    }
}
