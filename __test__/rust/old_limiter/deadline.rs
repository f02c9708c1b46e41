//! Every request is answered by its deadline, whatever the store does. The clock is Tokio's, paused: nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::test_doubles::{Late, Logged, Silent, block_thread, limiter, recorded};
use crate::requests::request;

const DEADLINE: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_not_waited_for() {
    let policies = [
        (OnStoreError::Local, Source::Local),
        (OnStoreError::Open, Source::Open),
        (OnStoreError::Closed, Source::Closed),
    ];
    let limiters = policies.map(|(policy, source)| {
        (
            limiter(&Handle::current(), Silent, policy, DEADLINE),
            source,
        )
    });
    for ((limiter, mut answers), source) in limiters {
        let begun = Instant::now();
        assert!(limiter.submit(request(Op::Check, "1", 5), 7).is_none());
        let (request_id, answer) = answers.recv().await.unwrap();
        assert_eq!((request_id, answer.unwrap().source), (7, source));
        assert_eq!(begun.elapsed(), DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn under_throw_a_missed_deadline_is_a_time_out() {
    let (limiter, mut answers) = limiter(&Handle::current(), Silent, OnStoreError::Throw, DEADLINE);
    limiter.submit(request(Op::Check, "1", 5), 1);
    let error = answers.recv().await.unwrap().1.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "ETIMEDOUT")
    );
}

/// The policy has answered the request by then.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_dropped() {
    let late = Late(DEADLINE * 4);
    let (limiter, mut answers) = limiter(&Handle::current(), late, OnStoreError::Open, DEADLINE);
    limiter.submit(request(Op::Check, "1", 5), 1);
    assert_eq!(
        answers.recv().await.unwrap().1.unwrap().source,
        Source::Open
    );
    tokio::time::sleep(DEADLINE * 8).await;
    drop(limiter);
    assert!(answers.recv().await.is_none(), "one answer a request");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_the_stores() {
    let in_time = Late(DEADLINE / 5);
    let (limiter, mut answers) = limiter(&Handle::current(), in_time, OnStoreError::Open, DEADLINE);
    limiter.submit(request(Op::Check, "1", 5), 1);
    assert_eq!(
        answers.recv().await.unwrap().1.unwrap().source,
        Source::Redis
    );
}

/// A later request may wait longer, also for a batch in which an earlier one has reached its deadline.
#[tokio::test(start_paused = true)]
async fn each_request_of_a_batch_has_its_own_deadline() {
    let deadline = DEADLINE * 4;
    let slow = Logged::over(Arc::new(Late(deadline * 3 / 4)));
    let (limiter, mut answers) = limiter(
        &Handle::current(),
        slow.clone(),
        OnStoreError::Open,
        deadline,
    );
    limiter.submit(request(Op::Check, "1", 5), 1);
    // The batch does not leave before the second request.
    block_thread(deadline / 2);
    limiter.submit(request(Op::Check, "2", 5), 2);
    for expected in [(1, Source::Open), (2, Source::Redis)] {
        let (request_id, answer) = answers.recv().await.unwrap();
        assert_eq!((request_id, answer.unwrap().source), expected);
    }
    assert_eq!(slow.batches(), [[Op::Check; 2]]);
}

/// A request past its deadline is not sent: it would take a slot for a caller who has another answer already.
#[tokio::test(start_paused = true)]
async fn a_request_past_its_deadline_is_not_sent() {
    let (store, limiter, mut answers) = recorded(DEADLINE);
    for request_id in 0..200 {
        limiter.submit(request(Op::Check, "1", 5), request_id);
    }
    block_thread(DEADLINE * 2);
    limiter.submit(request(Op::Check, "1", 5), 200);
    for _ in 0..200 {
        let (request_id, answer) = answers.recv().await.unwrap();
        assert_eq!(
            answer.unwrap_err().kind(),
            ErrorKind::Timeout,
            "{request_id}"
        );
    }
    assert_eq!(
        answers.recv().await.unwrap().1.unwrap().source,
        Source::Redis
    );
    assert_eq!(store.0.lock().unwrap().concat().len(), 1);
}

/// A batch that hangs does not delay the next ones.
#[tokio::test(start_paused = true)]
async fn batches_do_not_wait_for_each_other() {
    let (limiter, mut answers) = limiter(&Handle::current(), Silent, OnStoreError::Open, DEADLINE);
    let begun = Instant::now();
    for request_id in 0..10 {
        limiter.submit(request(Op::Check, "1", 5), request_id);
        // Lets the batch leave before the next request comes.
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        answers.recv().await.unwrap().1.unwrap();
    }
    assert_eq!(begun.elapsed(), DEADLINE);
}
