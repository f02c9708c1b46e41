//! Batches: which requests leave together.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{MAX_BATCH, Memory, OnStoreError, Source};
use huntaze_rate_limit::store::{MemoryStore, Op};

use super::fake_stores::Recording;
use super::simulation::{Setup, Simulation, hour, metrics};
use crate::requests::request;

const DEADLINE: Duration = Duration::from_secs(60);
const ROUND_TRIP: Duration = Duration::from_millis(1);

fn recorded(delay: Duration) -> Simulation<Recording> {
    Setup::new(OnStoreError::Throw, DEADLINE).over(Recording::late(delay))
}

/// After the first, requests that have gathered leave in batches of the largest size, in order, each once.
#[test]
fn a_batch_has_at_most_the_largest_size() {
    let mut it = recorded(Duration::ZERO);
    for request_id in 0..1000 {
        it.submit(request(Op::Check, &request_id.to_string(), 5), request_id);
    }
    for expected in 0..1000 {
        let (request_id, answer) = it.recv();
        let answer = answer.unwrap();
        assert_eq!(
            (request_id, answer.source, answer.outcome.decision.reset),
            (expected, Source::Redis, u64::from(request_id))
        );
    }
    let sizes: Vec<usize> = it.store.batches.iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [vec![1], vec![MAX_BATCH; 15], vec![999 - 15 * MAX_BATCH]].concat()
    );
    let ids: Vec<u32> = it
        .store
        .batches
        .iter()
        .flatten()
        .map(|r| r.id.as_str().parse().unwrap())
        .collect();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
}

/// An idle limiter waits for no further requests: the clock stands still, and the answer comes.
#[test]
fn a_lone_request_leaves_at_once() {
    let mut it = recorded(Duration::ZERO);
    for request_id in 0..3 {
        it.submit(request(Op::Check, "1", 5), request_id);
        assert_eq!(it.recv().0, request_id);
    }
    assert_eq!(it.elapsed(), Duration::ZERO);
    assert_eq!(it.store.batches.len(), 3);
}

/// Two full batches are in flight at most, so that the server is never idle. The next leaves when one is answered.
#[test]
fn two_full_batches_are_in_flight_at_most() {
    let mut it = recorded(ROUND_TRIP);
    it.submit(request(Op::Check, "0", 5), 0);
    for request_id in 1..1000 {
        it.submit(request(Op::Check, "0", 5), request_id);
    }
    it.run(ROUND_TRIP / 2);
    let sizes =
        |it: &Simulation<Recording>| -> Vec<_> { it.store.batches.iter().map(Vec::len).collect() };
    // The first, alone, counts as one of the two.
    assert_eq!(sizes(&it), [1, MAX_BATCH]);
    it.run(ROUND_TRIP);
    assert_eq!(sizes(&it), [1, MAX_BATCH, MAX_BATCH, MAX_BATCH]);
}

/// Where the server is far away and little is asked, no request waits for another's round trip.
#[test]
fn small_batches_do_not_wait_for_each_other() {
    let mut it = recorded(Duration::from_secs(1));
    for request_id in 0..10 {
        it.submit(request(Op::Check, "0", 5), request_id);
        it.run(Duration::from_millis(1));
    }
    assert_eq!(it.store.batches.len(), 10);
}

/// What is submitted in the same call of the driver is sent together, and not by the caller.
#[test]
fn requests_of_one_moment_are_sent_together() {
    let mut it = recorded(ROUND_TRIP);
    for request_id in 0..10 {
        it.submit(request(Op::Check, "0", 5), request_id);
        assert_eq!(it.store.batches.len(), 1);
    }
    it.run(Duration::ZERO);
    let sizes: Vec<_> = it.store.batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 9]);
}

/// Nobody's timer is moved for a lone check that follows another.
#[test]
fn a_lone_request_after_another_sets_no_timer() {
    let mut it = recorded(ROUND_TRIP);
    it.submit(request(Op::Check, "0", 5), 0);
    let timer = it.limiters[0].remote.next_timer();
    assert!(timer.is_some());
    for request_id in 1..100 {
        let _ = it.recv();
        it.submit(request(Op::Check, "0", 5), request_id);
        assert_eq!(it.limiters[0].remote.next_timer(), timer);
    }
    let _ = it.recv();
    it.run_to_end();
    assert_eq!(it.limiters[0].remote.next_timer(), None);
}

#[test]
fn a_limiter_in_memory_answers_in_the_call() {
    let limiter = Memory::new(hour(), Arc::new(MemoryStore::new()), metrics());
    for allowed in [true, true, false] {
        let answer = limiter.answer(&request(Op::Check, "a", 2), 1);
        assert_eq!(answer.source, Source::Memory);
        assert_eq!(answer.outcome.decision.is_allowed(), allowed);
    }
}
