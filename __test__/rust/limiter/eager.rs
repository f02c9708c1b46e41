//! A store that is ready: an idle limiter's request leaves in the call, and is settled like any other.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
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

/// Nothing has run the runtime yet, and the store has been asked.
#[test]
fn it_leaves_before_the_call_returns() {
    let runtime = runtime();
    let store = Logged::over(Arc::new(MemoryStore::new()));
    let ready = Ready(store.clone());
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for ticket in 0..5 {
        assert!(limiter.submit(request(Op::Check, "a", 5), ticket).is_none());
        assert_eq!(store.ops().len(), ticket as usize + 1);
        // This store answers at once, too.
        let (answered, answer) = answers.try_recv().unwrap();
        assert_eq!((answered, answer.unwrap().source), (ticket, Source::Redis));
    }
}

/// A connection may break between the look at it and the first step.
#[test]
fn a_store_that_is_ready_no_more_connects_anew() {
    let runtime = runtime();
    let ready = Ready(Connecting);
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for ticket in 0..3 {
        assert!(limiter.submit(request(Op::Check, "7", 5), ticket).is_none());
        let (answered, answer) = runtime.block_on(answers.recv()).unwrap();
        assert_eq!((answered, answer.unwrap().source), (ticket, Source::Redis));
    }
}

#[test]
fn what_comes_meanwhile_waits_for_the_task() {
    let runtime = runtime();
    let ready = Ready(Late(SOON));
    let (limiter, mut answers) = limiter(runtime.handle(), ready, OnStoreError::Throw, FAR);
    for ticket in 0..300 {
        limiter.submit(request(Op::Check, "7", 5), ticket);
    }
    runtime.block_on(async {
        let mut tickets = Vec::new();
        for _ in 0..300 {
            let (ticket, answer) = answers.recv().await.unwrap();
            assert_eq!(answer.unwrap().source, Source::Redis);
            tickets.push(ticket);
        }
        tickets.sort();
        assert_eq!(tickets, (0..300).collect::<Vec<_>>());
    });
}

#[test]
fn its_deadline_is_kept_and_the_next_one_too() {
    let runtime = runtime();
    // For the time it has.
    let _entered = runtime.enter();
    let (limiter, mut answers) =
        limiter(runtime.handle(), Ready(Silent), OnStoreError::Throw, SOON);
    for ticket in 0..3 {
        let begun = Instant::now();
        limiter.submit(request(Op::Check, "a", 5), ticket);
        let (answered, answer) = runtime.block_on(answers.recv()).unwrap();
        assert_eq!(
            (answered, answer.unwrap_err().kind()),
            (ticket, ErrorKind::Timeout)
        );
        assert_eq!(begun.elapsed(), SOON);
    }
}

#[test]
fn it_is_settled_when_the_runtime_ends_or_has_ended() {
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
        // One of the two: in the call, if there is nobody left to ask.
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
    for ticket in 0..3 {
        limiter.submit(request(Op::Check, "a", 5), ticket);
        let (_, answer) = answers.try_recv().unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Refused);
    }
}

/// The panic reaches the caller, who is at the border and holds it there; the request is settled all the same.
#[test]
fn a_store_that_panics_at_once_leaves_nothing_open() {
    let runtime = runtime();
    let panicking = Ready(Panicking { at_once: true });
    let (limiter, mut answers) = limiter(runtime.handle(), panicking, OnStoreError::Local, FAR);
    for ticket in 0..3 {
        let asked = std::panic::AssertUnwindSafe(|| {
            limiter.submit(request(Op::Check, "a", 5), ticket);
        });
        assert!(std::panic::catch_unwind(asked).is_err());
        let (_, answer) = answers.try_recv().unwrap();
        assert_eq!(answer.unwrap().source, Source::Local);
    }
}
