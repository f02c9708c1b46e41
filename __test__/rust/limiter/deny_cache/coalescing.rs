//! When the denial of a busy id expires, one request goes to the store, and the others wait for its answer.

use std::time::Duration;

use huntaze_rate_limit::limiter::{Answer, Source, StoreChange};
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use super::{Cached, caching, caching_with_deadline};
use crate::requests::{anomaly_rules, plain_rules, request};

const HOUR: u64 = 3_600_000;
const CROWD: u32 = 200;
const ROUND_TRIP: Duration = Duration::from_millis(10);

fn is_check(op: Op) -> bool {
    matches!(op, Op::Check | Op::Limit)
}

/// A limiter whose store takes a while, and one id at its limit whose denial has just expired.
fn expired(mut cached: Cached, limit: u32, after: Duration) -> (Cached, usize) {
    cached.burst("a", limit, limit + 1);
    cached.store.delay = ROUND_TRIP;
    cached.run(after);
    let asked = cached.asked(is_check);
    (cached, asked)
}

/// The answers to a crowd of requests, in the order in which they arrive.
fn crowd(cached: &mut Cached, limit: u32) -> Vec<Result<Answer, StoreError>> {
    for request_id in 0..CROWD {
        let asked = cached.submit(request(Op::Check, "a", limit), request_id);
        assert!(asked.is_none());
    }
    let mut answers = Vec::new();
    while answers.len() < CROWD as usize {
        let (request_id, answer) = cached.recv();
        if request_id < CROWD {
            answers.push(answer);
        }
    }
    answers
}

#[test]
fn one_request_is_sent_and_the_others_wait_for_its_answer() {
    let (mut cached, before) =
        expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    let begun = cached.elapsed();
    let answers = crowd(&mut cached, 3);
    assert_eq!(cached.elapsed() - begun, ROUND_TRIP);
    assert_eq!(cached.asked(is_check) - before, 1);
    let sources = answers.iter().map(|answer| answer.as_ref().unwrap().source);
    let cached = sources.filter(|&source| source == Source::DenyCache);
    assert_eq!(cached.count() as u32, CROWD - 1);
}

#[test]
fn callers_without_a_pause_send_two_requests_an_expiry_at_most() {
    let (mut cached, before) =
        expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    let mut in_flight = 0;
    let begun = cached.elapsed();
    // Twenty in flight, each sent anew when it is answered: eleven expiries.
    while cached.elapsed() - begun < Duration::from_millis(50 * 11) {
        while in_flight < 20 {
            match cached.submit(request(Op::Check, "a", 3), 0) {
                Some(_) => break,
                None => in_flight += 1,
            }
        }
        cached.run(Duration::from_millis(1));
        while cached.try_recv().is_some() {
            in_flight -= 1;
        }
    }
    let asked = cached.asked(is_check) - before;
    assert!((10..=22).contains(&asked), "{asked}");
}

/// A slot that has become free is taken at once, and by as many as there are slots.
#[test]
fn one_request_a_slot_is_sent_and_one_more() {
    let (window, tick) = (Duration::from_millis(1000), Duration::from_millis(1));
    let cached = caching(plain_rules(1000), 60_000);
    let (mut cached, before) = expired(cached, 3, window - tick);
    // The crowd comes before the sweep of that moment, which drops the entry.
    cached.stop(tick);
    let answers = crowd(&mut cached, 3);
    let allowed = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().outcome.decision.is_allowed());
    assert_eq!(allowed.count(), 3);
    assert_eq!(cached.asked(is_check) - before, 4);
}

/// Where there is a slot for each, no request waits any more.
#[test]
fn after_a_reset_every_request_is_sent() {
    let (mut cached, before) = expired(
        caching(plain_rules(HOUR), 50),
        300,
        Duration::from_millis(50),
    );
    // Reset by another process.
    let reset = request(Op::Reset, "a", 300);
    cached.store.memory.answer(plain_rules(HOUR), &reset);
    let answers = crowd(&mut cached, 300);
    let allowed =
        |answer: &Result<Answer, _>| answer.as_ref().unwrap().outcome.decision.is_allowed();
    assert!(answers.iter().all(allowed));
    assert_eq!(cached.asked(is_check) - before, CROWD as usize);
}

/// This process resets the id while requests wait.
#[test]
fn a_reset_by_this_process_releases_the_waiting_requests() {
    let (mut cached, _) = expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    for request_id in 1..=4 {
        assert!(
            cached
                .submit(request(Op::Check, "a", 3), request_id)
                .is_none()
        );
    }
    assert!(cached.submit(request(Op::Reset, "a", 3), 5).is_none());
    let mut allowed = 0;
    for _ in 0..5 {
        let (request_id, answer) = cached.recv();
        allowed += u32::from(request_id != 5 && answer.unwrap().outcome.decision.is_allowed());
    }
    // They were submitted before the reset.
    assert_eq!(allowed, 0);
    assert!(
        cached
            .answer(Op::Check, "a", 3)
            .outcome
            .decision
            .is_allowed()
    );
}

/// No request waits beyond its own deadline.
#[test]
fn a_store_that_stops_answering_delays_no_request_beyond_its_deadline() {
    let deadline = Duration::from_millis(500);
    let cached = caching_with_deadline(plain_rules(HOUR), 50, deadline);
    let (mut cached, _) = expired(cached, 3, Duration::from_millis(50));
    cached.store.delay = deadline * 100;
    let begun = cached.elapsed();
    for request_id in 0..20 {
        assert!(
            cached
                .submit(request(Op::Check, "a", 3), request_id)
                .is_none()
        );
        cached.run(Duration::from_millis(5));
    }
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        let (request_id, answer) = cached.recv();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
        let asked = Duration::from_millis(5) * request_id;
        let waited = cached.elapsed() - begun - asked;
        assert!(waited <= deadline + Duration::from_millis(1), "{waited:?}");
        last = cached.elapsed() - begun;
    }
    assert!(last >= deadline);
}

/// The request that may be the anomaly is sent, also where it has waited.
#[test]
fn waiting_requests_are_counted_and_the_anomaly_reported_once() {
    let cached = caching(anomaly_rules(HOUR, 2.0, 300_000), 50);
    let (mut cached, before) = expired(cached, 100, Duration::from_millis(50));
    let answers = crowd(&mut cached, 100);
    let reports = answers
        .iter()
        .filter_map(|answer| answer.as_ref().unwrap().outcome.anomaly_status.anomaly());
    assert_eq!(reports.collect::<Vec<_>>(), [201]);
    assert_eq!(cached.asked(is_check) - before, 2);
}

/// A limiter that is dropped while requests wait answers them first.
#[test]
fn waiting_requests_are_answered_before_the_limiter_ends() {
    let (mut cached, _) = expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    for request_id in 0..CROWD {
        assert!(
            cached
                .submit(request(Op::Check, "a", 3), request_id)
                .is_none()
        );
    }
    cached.close();
    cached.run_to_end();
    assert!(cached.limiters[0].remote.is_closed());
    let mut denied = 0;
    while let Some((_, answer)) = cached.try_recv() {
        denied += u32::from(!answer.unwrap().outcome.decision.is_allowed());
    }
    assert_eq!(denied, CROWD);
}

/// The entry outlives sweeps: after a pause, too, one request is sent for all.
#[test]
fn after_a_pause_one_request_is_sent_as_well() {
    for pause in [400, 700, 1300, 3000] {
        let pause = Duration::from_millis(pause);
        let (mut cached, before) = expired(caching(plain_rules(HOUR), 300), 3, pause);
        crowd(&mut cached, 3);
        assert_eq!(cached.asked(is_check) - before, 1, "{pause:?}");
    }
}

/// A denial from before another id's reset is not cached. The requests still do not wait for one answer after another.
#[test]
fn resets_of_other_ids_delay_no_request() {
    let (mut cached, _) = expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    let begun = cached.elapsed();
    for request_id in 0..CROWD {
        let asked = cached.submit(request(Op::Check, "a", 3), request_id);
        assert!(asked.is_none());
    }
    let mut answered = 0;
    while answered < CROWD {
        cached.submit(request(Op::Reset, "other", 3), CROWD);
        cached.run(Duration::from_millis(4));
        while let Some((request_id, answer)) = cached.try_recv() {
            if request_id < CROWD {
                assert!(!answer.unwrap().outcome.decision.is_allowed());
                answered += 1;
            }
        }
        assert!(cached.elapsed() - begun < ROUND_TRIP * 10, "{answered}");
    }
}

/// When the breaker opens, the requests that wait are answered after the change of the store: they were decided without it.
#[test]
fn waiting_requests_are_decided_during_the_outage() {
    let (mut cached, _) = expired(caching(plain_rules(HOUR), 50), 3, Duration::from_millis(50));
    cached.store.delay = Duration::ZERO;
    cached.store.away = true;
    for _ in 0..2 {
        assert!(cached.ask(Op::Check, "b", 3).is_err());
    }
    // The first is in flight and opens the breaker, the second is queued, and the third waits for the second.
    for who in ["b", "a", "a"] {
        assert!(cached.submit(request(Op::Check, who, 3), 0).is_none());
    }
    for _ in 0..3 {
        assert!(cached.recv().1.is_err());
    }
    cached.store.away = false;
    cached.run(Duration::from_secs(10));
    let back = &cached.limiters[0].changes[1];
    assert!(
        matches!(back, StoreChange::Back { decided: 3, .. }),
        "{back:?}"
    );
}
