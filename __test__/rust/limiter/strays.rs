//! Requests that one part of the store has sent on to another, which says nothing: they are settled in time all the same.

use std::future::pending;
use std::time::Instant;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::{ErrorKind, Op, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::doubles::{Recording, limiter};
use super::flaky::{DEADLINE, PATIENT};
use crate::asking::request;

/// Ready at any time. What is asked of 0 is sent on, and hangs there.
#[derive(Default)]
struct Redirecting(Recording);

impl Store for Redirecting {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.run(scope, requests).await
    }

    async fn run_in_pieces(
        &self,
        scope: &Scope,
        requests: &[Request],
        land: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        yield_now().await;
        if requests.iter().any(|request| request.id.as_str() == "0") {
            land(&[], Vec::new());
            pending::<()>().await;
        }
        let places: Vec<_> = (0..requests.len()).collect();
        land(&places, self.run(scope, requests).await);
    }

    fn at_once<R>(&self, _: &Scope, _: &Id, send: impl FnOnce() -> R) -> Option<R> {
        Some(send())
    }
}

/// The lane is free for the next one, which leaves in the call as well.
#[tokio::test]
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
        assert!(begun.elapsed() < DEADLINE, "round {round}");
        let late = timeout(PATIENT, answers.recv()).await;
        let (answered, answer) = late.expect("it is never settled").unwrap();
        let kind = answer.unwrap_err().kind();
        assert_eq!((answered, kind), (0, ErrorKind::Timeout), "round {round}");
        assert!(begun.elapsed() < 3 * DEADLINE, "round {round}");
    }
}
