//! Every request completes exactly once, also when the runtime, the store or the limiter goes away. The simulation fails when a
//! request is answered twice.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source, Times};
use huntaze_rate_limit::store::{ErrorKind, Op};

use super::fake_stores::{Failing, Logged, Recording, Silent, Unanswering};
use super::simulation::{FakeStore, Settled, Setup, Simulation, hour};
use crate::requests::request;

/// Longer than any test here runs.
const FAR: Duration = Duration::from_secs(3600);
const COUNT: u32 = 200;

/// Submits a request for each request id. Returns those that were answered in the call.
fn submit_all<S: FakeStore>(it: &mut Simulation<S>) -> Vec<Settled> {
    let asked = (0..COUNT).map(|request_id| {
        let answered = it.submit(request(Op::Check, &request_id.to_string(), 5), request_id);
        answered.map(|(_, answer)| (request_id, Ok(answer)))
    });
    asked.flatten().collect()
}

/// All completions, in the call or later: each request id once.
fn each_once<S: FakeStore>(mut all: Vec<Settled>, it: &mut Simulation<S>) -> Vec<Settled> {
    it.run_to_end();
    all.extend(it.limiters[0].answers.drain(..));
    all.sort_by_key(|(request_id, _)| *request_id);
    let request_ids: Vec<u32> = all.iter().map(|(request_id, _)| *request_id).collect();
    assert_eq!(request_ids, (0..COUNT).collect::<Vec<_>>());
    assert!(it.limiters[0].remote.is_closed());
    all
}

#[test]
fn the_runtime_ends_before_a_timer_has_fired() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Silent);
    let at_once = submit_all(&mut it);
    it.abort();
    for (_, answer) in each_once(at_once, &mut it) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Disconnected);
    }
}

#[test]
fn the_runtime_ends_with_batches_in_flight() {
    let mut it = Setup::new(OnStoreError::Local, FAR).over(Silent);
    let at_once = submit_all(&mut it);
    it.run(Duration::from_millis(20));
    it.abort();
    assert_eq!(it.abandoned, 2);
    for (_, answer) in each_once(at_once, &mut it) {
        assert_eq!(answer.unwrap().source, Source::Local);
    }
}

#[test]
fn the_runtime_has_ended_already() {
    for (policy, in_the_call) in [(OnStoreError::Open, COUNT), (OnStoreError::Throw, 0)] {
        let mut it = Setup::new(policy, FAR).over(Silent);
        it.abort();
        let at_once = submit_all(&mut it);
        assert_eq!(at_once.len() as u32, in_the_call);
        for (_, answer) in each_once(at_once, &mut it) {
            match answer {
                Ok(answer) => assert_eq!(answer.source, Source::Open),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Disconnected),
            }
        }
    }
}

/// Also with requests in the deny cache, in the queue and in flight: of two requests in a row, one is of an id whose denial has expired.
#[test]
fn the_runtime_ends_while_requests_arrive() {
    let expiry = Duration::from_millis(50);
    let denied = |request_id: u32| format!("denied-{}", request_id / 20);
    for ended_at in 0..COUNT {
        let setup = Setup {
            times: Times {
                deadline: FAR,
                deny_cache: expiry,
            },
            ..Setup::new(OnStoreError::Open, FAR)
        };
        let mut it = setup.over_clock(|clock| Logged::new(clock, hour()));
        for request_id in (0..COUNT).step_by(20) {
            for _ in 0..2 {
                it.ask(Op::Check, &denied(request_id), 1).unwrap();
            }
        }
        it.run(expiry);
        it.store.delay = FAR;
        let mut all = Vec::new();
        for request_id in 0..COUNT {
            if request_id == ended_at {
                it.abort();
            }
            let asked = match request_id % 2 {
                0 => request(Op::Check, &request_id.to_string(), 5),
                _ => request(Op::Check, &denied(request_id), 1),
            };
            let answered = it.submit(asked, request_id);
            all.extend(answered.map(|(_, answer)| (request_id, Ok(answer))));
            if request_id % 7 == 0 {
                it.run(Duration::from_millis(1));
            }
        }
        each_once(all, &mut it);
    }
}

/// The engine ends a call and leaves out answers.
#[test]
fn the_store_leaves_out_answers() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Unanswering);
    let at_once = submit_all(&mut it);
    it.close();
    for (_, answer) in each_once(at_once, &mut it) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Protocol);
    }
}

/// After a limiter is closed its queued requests still complete: by the store, not by the fallback.
#[test]
fn the_limiter_is_closed_with_requests_queued() {
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Recording::default());
    let at_once = submit_all(&mut it);
    it.close();
    assert!(!it.limiters[0].remote.is_closed());
    for (request_id, answer) in each_once(at_once, &mut it) {
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
    let mut it = Setup::new(OnStoreError::Throw, FAR).over(Failing(ErrorKind::Oom));
    let at_once = submit_all(&mut it);
    it.close();
    for (_, answer) in each_once(at_once, &mut it) {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Oom);
    }
}
