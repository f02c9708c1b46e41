//! Every request is answered by its deadline, whatever the store does. The clock is Tokio's, paused: nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::test_doubles::{Late, Logged, Silent, limiter, recorded, stand_still};
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
        let (ticket, answer) = answers.recv().await.unwrap();
        assert_eq!((ticket, answer.unwrap().source), (7, source));
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

/// What comes after the deadline is nobody's answer any more.
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
    assert!(answers.recv().await.is_none(), "one answer a ticket");
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

/// Who comes later may wait longer, also for a batch that others have waited for long enough.
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
    // Nothing leaves before the second has come.
    stand_still(deadline / 2);
    limiter.submit(request(Op::Check, "2", 5), 2);
    for expected in [(1, Source::Open), (2, Source::Redis)] {
        let (ticket, answer) = answers.recv().await.unwrap();
        assert_eq!((ticket, answer.unwrap().source), expected);
    }
    assert_eq!(slow.batches(), [[Op::Check; 2]]);
}

/// What nobody waits for any more is not asked: it would take a slot from somebody who was told otherwise.
#[tokio::test(start_paused = true)]
async fn what_is_late_before_it_leaves_is_not_asked() {
    let (store, limiter, mut answers) = recorded(DEADLINE);
    for ticket in 0..200 {
        limiter.submit(request(Op::Check, "1", 5), ticket);
    }
    stand_still(DEADLINE * 2);
    limiter.submit(request(Op::Check, "1", 5), 200);
    for _ in 0..200 {
        let (ticket, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout, "{ticket}");
    }
    assert_eq!(
        answers.recv().await.unwrap().1.unwrap().source,
        Source::Redis
    );
    assert_eq!(store.0.lock().unwrap().concat().len(), 1);
}

/// A batch that hangs holds up nobody behind it.
#[tokio::test(start_paused = true)]
async fn batches_do_not_wait_for_each_other() {
    let (limiter, mut answers) = limiter(&Handle::current(), Silent, OnStoreError::Open, DEADLINE);
    let begun = Instant::now();
    for ticket in 0..10 {
        limiter.submit(request(Op::Check, "1", 5), ticket);
        // Lets the batch leave before the next request comes.
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        answers.recv().await.unwrap().1.unwrap();
    }
    assert_eq!(begun.elapsed(), DEADLINE);
}
