//! Requests that one part of the store has sent on to another, which says nothing: they are settled in time all the same.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::flaky_store::{DEADLINE, PATIENT};
use super::test_doubles::{Recording, limiter};
use crate::requests::request;

/// Ready at any time. What is asked or told of 0 is sent on, and hangs there.
#[derive(Clone, Default)]
struct Redirecting {
    answers: Recording,
    told: Arc<Mutex<Vec<String>>>,
    away: Arc<AtomicBool>,
}

impl Redirecting {
    fn fails(&self) -> Result<(), StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl Store for Redirecting {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        match self.fails() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => self.answers.run(scope, requests).await,
        }
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        land: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        yield_now().await;
        let away = self.away.load(Ordering::SeqCst);
        if !away && requests.iter().any(|request| request.id.as_str() == "0") {
            land(&[], Vec::new());
            pending::<()>().await;
        }
        let places: Vec<_> = (0..requests.len()).collect();
        land(&places, self.run(scope, requests).await);
    }

    async fn probe(&self, _: &Scope, _: usize) -> Result<(), StoreError> {
        self.fails()
    }

    async fn replay(
        &self,
        _: &Scope,
        _: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        unreachable!("it is told in pieces")
    }

    async fn replay_streaming(
        &self,
        _: &Scope,
        replays: &[Replay],
        land: impl Fn(&[usize], Vec<Result<(), StoreError>>) + Send + Sync,
    ) -> Result<(), StoreError> {
        self.fails()?;
        let who = replays.iter().map(|replay| replay.id.as_str().to_owned());
        self.told.lock().unwrap().extend(who);
        let here = |&at: &usize| replays[at].id.as_str() != "0";
        let places: Vec<_> = (0..replays.len()).filter(here).collect();
        land(&places, vec![Ok(()); places.len()]);
        if places.len() < replays.len() {
            pending::<()>().await;
        }
        Ok(())
    }

    fn try_send<R>(&self, _: &Scope, _: &Id, send: impl FnOnce() -> R) -> Option<R> {
        Some(send())
    }
}

/// The lane is free for the next one, which leaves in the call as well.
#[tokio::test(start_paused = true)]
async fn one_that_left_in_the_call_is_settled_in_time_whatever_leaves_after_it() {
    let store = Redirecting::default();
    let (limiter, mut answers) = limiter(&Handle::current(), store, OnStoreError::Throw, DEADLINE);
    for round in 0..5 {
        let begun = Instant::now();
        assert!(limiter.submit(request(Op::Check, "0", 5), 0).is_none());
        for _ in 0..5 {
            yield_now().await;
        }
        for ticket in 1..4 {
            assert!(limiter.submit(request(Op::Check, "1", 5), ticket).is_none());
            let (answered, answer) = timeout(PATIENT, answers.recv()).await.unwrap().unwrap();
            assert_eq!((answered, answer.unwrap().source), (ticket, Source::Redis));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}");
        let late = timeout(PATIENT, answers.recv()).await;
        let (answered, answer) = late.expect("it is never settled").unwrap();
        let kind = answer.unwrap_err().kind();
        assert_eq!((answered, kind), (0, ErrorKind::Timeout), "round {round}");
        assert_eq!(begun.elapsed(), DEADLINE, "round {round}");
    }
}

/// It was away, and while it is told, a slot is on its way from it to a part that hangs.
#[tokio::test(start_paused = true)]
async fn what_one_part_has_been_told_waits_for_no_other() {
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
    let told = store.told.lock().unwrap();
    let times = |who: &str| told.iter().filter(|told| *told == who).count();
    // What nobody has heard of is told once more, and no more.
    assert_eq!((times("2"), times("3"), times("0")), (1, 1, 2), "{told:?}");
}
