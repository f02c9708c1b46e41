//! The promise of the deny cache: it repeats a denial in the call, and no longer than no slot can be free.

use std::time::Duration;

use huntaze_rate_limit::limiter::Source;
use huntaze_rate_limit::store::Op;
use huntaze_rate_limit::store::redis::cluster::ShardMap;

use super::caching;
use crate::requests::{anomaly_rules, plain_rules, request};

const HOUR: u64 = 3_600_000;

#[test]
fn a_repeated_denial_does_not_reach_the_store() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 100), (3, 96));
    assert_eq!(cached.asked(|op| op == Op::Check), 4);
    // Another id has no denial in the cache.
    assert_eq!(cached.burst("b", 3, 3), (3, 0));
}

#[test]
fn a_hit_says_what_the_store_would() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    cached.burst("a", 3, 3);
    let miss = cached.answer(Op::Limit, "a", 3);
    cached.run(Duration::from_millis(400));
    let hit = cached.answer(Op::Limit, "a", 3);
    assert_eq!(
        (miss.source, hit.source),
        (Source::Redis, Source::DenyCache)
    );
    let (miss, hit) = (miss.outcome.decision, hit.outcome.decision);
    assert_eq!(
        (hit.is_allowed(), hit.remaining, hit.reset),
        (false, 0, miss.reset)
    );
    assert_eq!(hit.retry_after_ms(), miss.retry_after_ms() - 400);
    assert_eq!(hit.reset_after, miss.reset_after - 400);
}

/// No denial is repeated beyond the moment at which a slot is free: a caller who returns after the retry time is admitted,
/// whether the store or the cache gave that time.
#[test]
fn no_denial_outlives_its_retry_time() {
    let mut cached = caching(plain_rules(80), 60_000);
    for phase in 0..20 {
        // The store counts whole milliseconds: it is asked at any time within one.
        cached.run(Duration::from_micros(phase * 137));
        while cached
            .answer(Op::Check, "a", 2)
            .outcome
            .decision
            .is_allowed()
        {}
        let denial = cached.answer(Op::Check, "a", 2);
        let wait = denial.outcome.decision.retry_after_ms();
        cached.run(Duration::from_millis(wait));
        let answer = cached.answer(Op::Check, "a", 2);
        assert!(
            answer.outcome.decision.is_allowed(),
            "denied after {wait} ms"
        );
    }
}

#[test]
fn another_limit_is_a_miss() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 5), (3, 1));
    // A larger plan has slots left.
    assert_eq!(cached.burst("a", 5, 2), (2, 0));
    // Under a smaller one the slot frees later than the denial under three said.
    let smaller = cached.answer(Op::Limit, "a", 2);
    assert_eq!(smaller.source, Source::Redis);
}

#[test]
fn a_reset_is_seen_at_once() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    for _ in 0..5 {
        assert_eq!(cached.burst("a", 2, 5), (2, 2));
        cached.answer(Op::Reset, "a", 2);
    }
}

/// Also before the reset is answered.
#[test]
fn a_check_after_a_reset_is_sent() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 1, 3), (1, 1));
    assert!(cached.submit(request(Op::Reset, "a", 1), 1).is_none());
    assert!(cached.submit(request(Op::Check, "a", 1), 2).is_none());
    assert_eq!(cached.recv().0, 1);
    let (answered, answer) = cached.recv();
    assert!(answered == 2 && answer.unwrap().outcome.decision.is_allowed());
}

/// A denial in flight when the id is reset is answered after the reset, and must not be cached.
#[test]
fn a_denial_from_before_a_reset_is_not_cached() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    cached.burst("a", 1, 1);
    for _ in 0..50 {
        // All three are in flight before the first is answered.
        for op in [Op::Check, Op::Reset, Op::Check] {
            assert!(cached.submit(request(op, "a", 1), 0).is_none());
        }
        for _ in 0..3 {
            cached.recv().1.unwrap();
        }
        cached.answer(Op::Reset, "a", 1);
        let answer = cached.answer(Op::Check, "a", 1);
        assert!(answer.outcome.decision.is_allowed());
        cached.answer(Op::Reset, "a", 1);
        cached.burst("a", 1, 1);
    }
}

#[test]
fn an_entry_expires_at_the_age_limit() {
    let mut cached = caching(plain_rules(HOUR), 50);
    cached.burst("a", 1, 2);
    for (after, source) in [(49, Source::DenyCache), (1, Source::Redis)] {
        cached.run(Duration::from_millis(after));
        assert_eq!(cached.answer(Op::Check, "a", 1).source, source);
    }
    let mut off = caching(plain_rules(HOUR), 0);
    assert_eq!(off.burst("a", 1, 50), (1, 0));
    assert_eq!(off.asked(|op| op == Op::Check), 50);
}

/// Denials answered from the cache count, too, and the request that crosses the threshold reports the anomaly with
/// its answer. After that nothing is counted or reported.
#[test]
fn the_request_that_crosses_the_threshold_reports_the_anomaly() {
    let mut cached = caching(anomaly_rules(HOUR, 2.0, 300_000), 60_000);
    for request in 1..=1000 {
        let answer = cached.answer(Op::Check, "a", 10);
        let reported = (request == 21).then_some(21);
        assert_eq!(
            answer.outcome.anomaly_status.anomaly(),
            reported,
            "{request}"
        );
    }
    // The ten admissions, the first denial, and the one that was the anomaly.
    assert_eq!(cached.asked(|op| matches!(op, Op::Check | Op::Limit)), 12);
    assert_eq!(cached.counted(), 9);
}

/// Whether or not the caller's thread has fetched the earlier answers.
#[test]
fn a_denial_is_repeated_before_its_answer_has_been_fetched() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    for request_id in 1..=4 {
        assert!(
            cached
                .submit(request(Op::Check, "a", 3), request_id)
                .is_none()
        );
    }
    cached.run(Duration::from_millis(1));
    let (_, answer) = cached.submit(request(Op::Check, "a", 3), 5).unwrap();
    assert_eq!(answer.source, Source::DenyCache);
}

/// Only the newest denial holds. Where it cannot be repeated, nor can an older one: its moment may be too early.
#[test]
fn an_older_denial_does_not_outlive_a_newer_one() {
    let mut cached = caching(anomaly_rules(HOUR, 2.0, 300_000), 60_000);
    for request_id in 1..=4 {
        assert!(
            cached
                .submit(request(Op::Check, "a", 2), request_id)
                .is_none()
        );
    }
    for _ in 1..=4 {
        cached.recv().1.unwrap();
    }
    // The first denial could have been repeated once, the second cannot.
    let crossing = cached.answer(Op::Check, "a", 2);
    let (source, anomaly) = (crossing.source, crossing.outcome.anomaly_status.anomaly());
    assert_eq!((source, anomaly), (Source::Redis, Some(5)));
}

/// The slot of the id moves to another shard, where the id is reset, and back.
#[test]
fn a_reset_removes_the_denial_of_any_shard() {
    let mut cached = caching(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 10), (3, 6));
    let before = cached.map.clone();
    let second = ShardMap::new(vec![1; 1 << 14].into(), vec![None; 2]);
    cached.set_map(second);
    cached.answer(Op::Reset, "a", 3);
    cached.set_map(before);
    assert_eq!(cached.burst("a", 3, 4), (3, 0));
}

/// The slot of the id moves while it is reset. The new shard denies before the store has executed the reset, and that denial is not
/// repeated once the reset is answered.
#[test]
fn a_reset_that_is_answered_removes_the_denial_of_any_shard() {
    let ms = Duration::from_millis;
    let mut cached = caching(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 1, 1), (1, 0));
    cached.store.delay = ms(10);
    assert!(cached.submit(request(Op::Reset, "a", 1), 1).is_none());
    cached.set_map(ShardMap::new(vec![1; 1 << 14].into(), vec![None; 2]));
    cached.store.delay = ms(5);
    let denied = cached.answer(Op::Check, "a", 1);
    assert!(!denied.outcome.decision.is_allowed());
    let repeated = cached.answer(Op::Check, "a", 1);
    assert_eq!(repeated.source, Source::DenyCache);
    cached.run(ms(5));
    assert_eq!(cached.try_recv().unwrap().0, 1);
    let answer = cached.answer(Op::Check, "a", 1);
    assert!(answer.outcome.decision.is_allowed());
}
