//! Requests that one shard has redirected to another, which does not answer: they settle in time all the same.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{OnStoreError, Source};
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::flaky_store::{DEADLINE, PATIENT};
use super::test_doubles::{Recording, limiter};
use crate::requests::request;

/// Ready at any time. Requests and replays of id 0 are redirected, and hang at the other shard.
#[derive(Clone, Default)]
struct Redirecting {
    answers: Recording,
    replayed: Arc<Mutex<Vec<String>>>,
    away: Arc<AtomicBool>,
}

impl Redirecting {
    fn available(&self) -> Result<(), StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl Store for Redirecting {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        match self.available() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => self.answers.run(scope, requests).await,
        }
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        on_results: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        yield_now().await;
        let away = self.away.load(Ordering::SeqCst);
        if !away && requests.iter().any(|request| request.id.as_str() == "0") {
            on_results(&[], Vec::new());
            pending::<()>().await;
        }
        let indices: Vec<_> = (0..requests.len()).collect();
        on_results(&indices, self.run(scope, requests).await);
    }

    async fn probe(&self, _: &Scope, _: usize) -> Result<(), StoreError> {
        self.available()
    }

    async fn replay(
        &self,
        _: &Scope,
        _: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        unreachable!("the limiter replays by streaming")
    }

    async fn replay_streaming(
        &self,
        _: &Scope,
        replays: &[Replay],
        on_results: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> Result<(), StoreError> {
        self.available()?;
        let who = replays.iter().map(|replay| replay.id.as_str().to_owned());
        self.replayed.lock().unwrap().extend(who);
        let here = |&at: &usize| replays[at].id.as_str() != "0";
        let indices: Vec<_> = (0..replays.len()).filter(here).collect();
        on_results(&indices, vec![Ok(()); indices.len()]);
        if indices.len() < replays.len() {
            pending::<()>().await;
        }
        Ok(())
    }

    fn try_send<R>(&self, _: &Scope, _: &Id, send: impl FnOnce() -> R) -> Option<R> {
        Some(send())
    }
}

/// The shard is idle again for the next request, which leaves in the caller's call as well.
#[tokio::test(start_paused = true)]
async fn an_eager_request_settles_in_time_whatever_leaves_after_it() {
    let store = Redirecting::default();
    let (limiter, mut answers) = limiter(&Handle::current(), store, OnStoreError::Throw, DEADLINE);
    for round in 0..5 {
        let begun = Instant::now();
        assert!(limiter.submit(request(Op::Check, "0", 5), 0).is_none());
        for _ in 0..5 {
            yield_now().await;
        }
        for request_id in 1..4 {
            assert!(
                limiter
                    .submit(request(Op::Check, "1", 5), request_id)
                    .is_none()
            );
            let (answered, answer) = timeout(PATIENT, answers.recv()).await.unwrap().unwrap();
            assert_eq!(
                (answered, answer.unwrap().source),
                (request_id, Source::Redis)
            );
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}");
        let late = timeout(PATIENT, answers.recv()).await;
        let (answered, answer) = late.expect("it is never settled").unwrap();
        let kind = answer.unwrap_err().kind();
        assert_eq!((answered, kind), (0, ErrorKind::Timeout), "round {round}");
        assert_eq!(begun.elapsed(), DEADLINE, "round {round}");
    }
}

/// The shard was away. During its replay a slot moves from it to a shard that hangs.
#[tokio::test(start_paused = true)]
async fn entries_that_one_shard_has_taken_do_not_wait_for_another() {
    let store = Redirecting::default();
    let (limiter, mut answers) = limiter(
        &Handle::current(),
        store.clone(),
        OnStoreError::Local,
        DEADLINE,
    );
    let mut check = async |who: &str| match limiter.submit(request(Op::Check, who, 5), 0) {
        Some((_, answer)) => answer.source,
        None => {
            let next = timeout(PATIENT, answers.recv()).await;
            next.unwrap().unwrap().1.unwrap().source
        }
    };
    store.away.store(true, Ordering::SeqCst);
    for who in ["1", "0", "2", "3"] {
        assert_eq!(check(who).await, Source::Local);
    }
    store.away.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    while check("1").await != Source::Redis {
        assert!(begun.elapsed() < PATIENT);
        sleep(Duration::from_millis(10)).await;
    }
    let replayed = store.replayed.lock().unwrap();
    let times = |who: &str| replayed.iter().filter(|id| *id == who).count();
    // A replay without a reply is sent once more, and not again.
    assert_eq!(
        (times("2"), times("3"), times("0")),
        (1, 1, 2),
        "{replayed:?}"
    );
}
