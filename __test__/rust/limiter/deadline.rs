//! Every request is answered by its deadline, whatever the store does.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};

use super::fake_stores::{Recording, Silent};
use super::simulation::Setup;
use crate::requests::request;

const DEADLINE: Duration = Duration::from_millis(250);

#[test]
fn a_store_that_never_answers_is_not_waited_for() {
    let policies = [
        (OnStoreError::Local, Source::Local),
        (OnStoreError::Open, Source::Open),
        (OnStoreError::Closed, Source::Closed),
    ];
    for (policy, source) in policies {
        let mut it = Setup::new(policy, DEADLINE).over(Silent);
        assert!(it.submit(request(Op::Check, "1", 5), 7).is_none());
        let (request_id, answer) = it.recv();
        assert_eq!((request_id, answer.unwrap().source), (7, source));
        assert_eq!(it.elapsed(), DEADLINE);
        assert_eq!(it.abandoned, 1);
    }
}

#[test]
fn under_throw_a_missed_deadline_is_a_time_out() {
    let mut it = Setup::new(OnStoreError::Throw, DEADLINE).over(Silent);
    it.submit(request(Op::Check, "1", 5), 1);
    let error = it.recv().1.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Timeout, "ETIMEDOUT")
    );
}

/// The policy has answered the request by then.
#[test]
fn a_late_answer_is_dropped() {
    let late = Recording::late(DEADLINE * 4);
    let mut it = Setup::new(OnStoreError::Open, DEADLINE).over(late);
    it.submit(request(Op::Check, "1", 5), 1);
    assert_eq!(it.recv().1.unwrap().source, Source::Open);
    it.run(DEADLINE * 8);
    it.close();
    it.run_to_end();
    assert!(it.try_recv().is_none(), "one answer a request");
}

/// The engine may have read the answer before it heard that the batch is abandoned.
#[test]
fn an_answer_to_an_abandoned_batch_is_ignored() {
    use huntaze_rate_limit::limiter::{Action, Context, Output, Remote, RequestId};

    let mut it = Setup::new(OnStoreError::Open, DEADLINE).over(Silent);
    let mut batch = None;
    let submit = |remote: &mut Remote, cx: &mut Context<'_>| {
        let before = cx.out.actions.len();
        let answer = remote.submit(request(Op::Check, "1", 5), RequestId::default(), cx);
        assert!(answer.is_none());
        if let Some(Action::Send { batch: id, .. }) = cx.out.actions.get(before) {
            batch = Some(*id);
        }
    };
    it.limiters[0].open += 1;
    it.call(0, submit);
    let _ = it.recv();
    let batch = batch.unwrap();
    let answers = super::fake_stores::allowed(&[request(Op::Check, "1", 5)]);
    it.call(0, |remote, cx| {
        remote.on_results(batch, &[0], answers, cx);
        remote.on_finished(batch, cx);
        let Output {
            actions,
            completions,
        } = &cx.out;
        assert!(actions.is_empty() && completions.is_empty());
    });
}

#[test]
fn an_answer_in_time_is_the_stores() {
    let in_time = Recording::late(DEADLINE / 5);
    let mut it = Setup::new(OnStoreError::Open, DEADLINE).over(in_time);
    it.submit(request(Op::Check, "1", 5), 1);
    assert_eq!(it.recv().1.unwrap().source, Source::Redis);
}

/// A later request may wait longer, also for a batch in which an earlier one has reached its deadline.
#[test]
fn each_request_of_a_batch_has_its_own_deadline() {
    let deadline = DEADLINE * 4;
    let slow = Recording::late(deadline * 3 / 4);
    let mut it = Setup::new(OnStoreError::Open, deadline).over(slow);
    it.submit(request(Op::Check, "0", 5), 0);
    it.submit(request(Op::Check, "1", 5), 1);
    // The batch does not leave before the third request.
    it.stop(deadline / 2);
    it.submit(request(Op::Check, "2", 5), 2);
    for expected in [(0, Source::Redis), (1, Source::Open), (2, Source::Redis)] {
        let (request_id, answer) = it.recv();
        assert_eq!((request_id, answer.unwrap().source), expected);
    }
    let sizes: Vec<_> = it.store.batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 2]);
}

/// A request past its deadline is not sent: it would take a slot for a caller who has another answer already.
#[test]
fn a_request_past_its_deadline_is_not_sent() {
    let mut it = Setup::new(OnStoreError::Throw, DEADLINE).over(Recording::late(DEADLINE * 20));
    for request_id in 0..200 {
        it.submit(request(Op::Check, "1", 5), request_id);
    }
    it.stop(DEADLINE * 2);
    it.store.delay = Duration::ZERO;
    it.submit(request(Op::Check, "1", 5), 200);
    for _ in 0..200 {
        let (request_id, answer) = it.recv();
        assert_eq!(
            answer.unwrap_err().kind(),
            ErrorKind::Timeout,
            "{request_id}"
        );
    }
    assert_eq!(it.recv().1.unwrap().source, Source::Redis);
    // The first, which left in the call, and the last.
    assert_eq!(it.store.batches.concat().len(), 2);
}

/// A request is not sent if its answer would come too late: by the mean round trip.
#[test]
fn a_request_is_not_sent_when_no_round_trip_is_left() {
    let round_trip = DEADLINE / 2;
    let mut it = Setup::new(OnStoreError::Throw, DEADLINE).over(Recording::late(round_trip));
    for _ in 0..40 {
        assert!(it.ask(Op::Check, "1", 5).is_ok());
    }
    // A full batch in flight, and another: nothing else leaves before one is answered.
    for request_id in 0..200 {
        it.submit(request(Op::Check, "1", 5), request_id);
    }
    it.stop(DEADLINE * 3 / 5);
    let sent = it.store.batches.concat().len();
    for _ in 0..200 {
        let _ = it.recv();
    }
    assert_eq!(it.store.batches.concat().len(), sent);
}

/// A batch that hangs does not delay the next ones.
#[test]
fn batches_do_not_wait_for_each_other() {
    let mut it = Setup::new(OnStoreError::Open, DEADLINE).over(Silent);
    for request_id in 0..10 {
        it.submit(request(Op::Check, "1", 5), request_id);
        // Lets the batch leave before the next request comes.
        it.run(Duration::ZERO);
    }
    for _ in 0..10 {
        it.recv().1.unwrap();
    }
    assert_eq!(it.elapsed(), DEADLINE);
    assert_eq!(it.abandoned, 10);
}
