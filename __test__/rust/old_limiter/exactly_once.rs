//! Every request completes exactly once, also when the runtime, the store or the limiter goes away.

use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Limiter, OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;

use super::test_doubles::{Collector, Failing, Panicking, Recording, Settled, Silent, limiter};
use crate::requests::request;

/// Longer than any test here runs.
const FAR: Duration = Duration::from_secs(3600);
const COUNT: u32 = 200;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Submits a request for each request id. Returns those that were answered in the call.
fn submit_all(limiter: &Limiter<Collector>) -> Vec<Settled> {
    let asked = (0..COUNT).map(|request_id| {
        let answered = limiter.submit(request(Op::Check, &request_id.to_string(), 5), request_id);
        answered.map(|(_, answer)| (request_id, Ok(answer)))
    });
    asked.flatten().collect()
}

/// All completions, in the call or later, once the limiter and its tasks are gone: each request id once.
fn each_once(mut all: Vec<Settled>, mut answers: UnboundedReceiver<Settled>) -> Vec<Settled> {
    while let Some(settled) = answers.blocking_recv() {
        all.push(settled);
    }
    all.sort_by_key(|(request_id, _)| *request_id);
    let request_ids: Vec<u32> = all.iter().map(|(request_id, _)| *request_id).collect();
    assert_eq!(request_ids, (0..COUNT).collect::<Vec<_>>());
    all
}

#[test]
fn the_runtime_ends_before_the_worker_has_run() {
    let runtime = runtime();
    let (limiter, answers) = limiter(runtime.handle(), Silent, OnStoreError::Throw, FAR);
    let at_once = submit_all(&limiter);
    drop(runtime);
    drop(limiter);
    for (_, answer) in each_once(at_once, answers) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Disconnected);
    }
}

#[test]
fn the_runtime_ends_with_batches_in_flight() {
    let runtime = runtime();
    let (limiter, answers) = limiter(runtime.handle(), Silent, OnStoreError::Local, FAR);
    let at_once = submit_all(&limiter);
    runtime.block_on(async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    });
    drop(runtime);
    drop(limiter);
    for (_, answer) in each_once(at_once, answers) {
        assert_eq!(answer.unwrap().source, Source::Local);
    }
}

#[test]
fn the_runtime_has_ended_already() {
    let runtime = runtime();
    let (limiter, answers) = limiter(runtime.handle(), Silent, OnStoreError::Open, FAR);
    drop(runtime);
    let at_once = submit_all(&limiter);
    drop(limiter);
    for (_, answer) in each_once(at_once, answers) {
        assert_eq!(answer.unwrap().source, Source::Open);
    }
}

/// The requests come from another thread, a hundred times over: none is lost, in whichever order the two happen.
#[test]
fn the_runtime_ends_while_requests_arrive() {
    for _ in 0..100 {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (limiter, answers) = limiter(runtime.handle(), Silent, OnStoreError::Open, FAR);
        let at_once = std::thread::scope(|threads| {
            let asked = threads.spawn(|| submit_all(&limiter));
            drop(runtime);
            asked.join().unwrap()
        });
        drop(limiter);
        each_once(at_once, answers);
    }
}

#[test]
fn the_store_panics() {
    for panics_at_once in [true, false] {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let store = Panicking {
            at_once: panics_at_once,
        };
        let (limiter, answers) = limiter(runtime.handle(), store, OnStoreError::Throw, FAR);
        let at_once = submit_all(&limiter);
        drop(limiter);
        for (_, answer) in each_once(at_once, answers) {
            assert!(answer.is_err());
        }
    }
}

/// A panic ends one batch, not the limiter.
#[tokio::test]
async fn the_limiter_outlives_a_panic() {
    let store = Panicking { at_once: false };
    let (limiter, mut answers) = limiter(&Handle::current(), store, OnStoreError::Open, FAR);
    for request_id in 0..3 {
        limiter.submit(request(Op::Check, "1", 5), request_id);
        // A lost request would be waited for for ever.
        let settled = tokio::time::timeout(Duration::from_secs(10), answers.recv()).await;
        let (settled, answer) = settled.unwrap().unwrap();
        assert_eq!(
            (settled, answer.unwrap().source),
            (request_id, Source::Open)
        );
    }
}

/// After a limiter is dropped its queued requests still settle: by the store, not by the fallback.
#[test]
fn the_limiter_is_dropped_with_requests_queued() {
    let runtime = runtime();
    let (limiter, answers) = limiter(
        runtime.handle(),
        Recording::default(),
        OnStoreError::Throw,
        FAR,
    );
    let at_once = submit_all(&limiter);
    drop(limiter);
    let settled = std::thread::scope(|threads| {
        let settled = threads.spawn(|| each_once(at_once, answers));
        runtime.block_on(async {
            while !settled.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        settled.join().unwrap()
    });
    for (request_id, answer) in settled {
        let answer = answer.unwrap();
        // Its own answer, not a neighbour's.
        assert_eq!(
            (answer.source, answer.outcome.decision.reset),
            (Source::Redis, u64::from(request_id))
        );
    }
}

#[test]
fn the_store_fails() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let failing = Failing(ErrorKind::Oom);
    let (limiter, answers) = limiter(runtime.handle(), failing, OnStoreError::Throw, FAR);
    let at_once = submit_all(&limiter);
    drop(limiter);
    for (_, answer) in each_once(at_once, answers) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Oom);
    }
}
