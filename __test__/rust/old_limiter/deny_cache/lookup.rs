//! The promise of the deny cache: it repeats a denial in the call, and no longer than no slot can be free.

use std::sync::atomic::Ordering;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::Source;
use huntaze_rate_limit::store::Op;
use tokio::time::{advance, sleep};

use super::CachedLimiter;
use crate::requests::{anomaly_rules, plain_rules, request};

const HOUR: u64 = 3_600_000;

#[tokio::test(start_paused = true)]
async fn a_repeated_denial_does_not_reach_the_store() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 100).await, (3, 96));
    assert_eq!(cached.asked(|op| op == Op::Check), 4);
    // Another id has no denial in the cache.
    assert_eq!(cached.burst("b", 3, 3).await, (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hit_says_what_the_store_would() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    cached.burst("a", 3, 3).await;
    let miss = cached.ask(Op::Limit, "a", 3).await;
    advance(Duration::from_millis(400)).await;
    let hit = cached.ask(Op::Limit, "a", 3).await;
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
#[tokio::test(start_paused = true)]
async fn no_denial_outlives_its_retry_time() {
    let mut cached = CachedLimiter::new(plain_rules(80), 60_000);
    for phase in 0..20 {
        // The store counts whole milliseconds: it is asked at any time within one.
        advance(Duration::from_micros(phase * 137)).await;
        while cached
            .ask(Op::Check, "a", 2)
            .await
            .outcome
            .decision
            .is_allowed()
        {}
        let denial = cached.ask(Op::Check, "a", 2).await;
        let wait = denial.outcome.decision.retry_after_ms();
        advance(Duration::from_millis(wait)).await;
        let answer = cached.ask(Op::Check, "a", 2).await;
        assert!(
            answer.outcome.decision.is_allowed(),
            "denied after {wait} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_limit_is_a_miss() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 5).await, (3, 1));
    // A larger plan has slots left.
    assert_eq!(cached.burst("a", 5, 2).await, (2, 0));
    // Under a smaller one the slot frees later than the denial under three said.
    let smaller = cached.ask(Op::Limit, "a", 2).await;
    assert_eq!(smaller.source, Source::Redis);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_at_once() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    for _ in 0..5 {
        assert_eq!(cached.burst("a", 2, 5).await, (2, 2));
        cached.ask(Op::Reset, "a", 2).await;
    }
}

/// A denial in flight when the id is reset is answered after the reset, and must not be cached.
#[tokio::test(start_paused = true)]
async fn a_denial_from_before_a_reset_is_not_cached() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    cached.burst("a", 1, 1).await;
    for _ in 0..50 {
        // All three are in flight before the first is answered.
        for op in [Op::Check, Op::Reset, Op::Check] {
            assert!(cached.limiter.submit(request(op, "a", 1), 0).is_none());
        }
        for _ in 0..3 {
            cached.answers.recv().await.unwrap().1.unwrap();
        }
        cached.ask(Op::Reset, "a", 1).await;
        let answer = cached.ask(Op::Check, "a", 1).await;
        assert!(answer.outcome.decision.is_allowed());
        cached.ask(Op::Reset, "a", 1).await;
        cached.burst("a", 1, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_expires_at_the_age_limit() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 50);
    cached.burst("a", 1, 2).await;
    for (after, source) in [(49, Source::DenyCache), (1, Source::Redis)] {
        sleep(Duration::from_millis(after)).await;
        assert_eq!(cached.ask(Op::Check, "a", 1).await.source, source);
    }
    let mut off = CachedLimiter::new(plain_rules(HOUR), 0);
    assert_eq!(off.burst("a", 1, 50).await, (1, 0));
    assert_eq!(off.asked(|op| op == Op::Check), 50);
}

/// Denials answered from the cache count, too, and the request that crosses the threshold reports the anomaly with
/// its answer. After that nothing is counted or reported.
#[tokio::test(start_paused = true)]
async fn the_request_that_crosses_the_threshold_reports_the_anomaly() {
    let mut cached = CachedLimiter::new(anomaly_rules(HOUR, 2.0, 300_000), 60_000);
    for request in 1..=1000 {
        let answer = cached.ask(Op::Check, "a", 10).await;
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
#[tokio::test(start_paused = true)]
async fn a_denial_is_repeated_before_its_answer_has_been_fetched() {
    let cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    for request_id in 1..=4 {
        assert!(
            cached
                .limiter
                .submit(request(Op::Check, "a", 3), request_id)
                .is_none()
        );
    }
    sleep(Duration::from_millis(1)).await;
    let (_, answer) = cached
        .limiter
        .submit(request(Op::Check, "a", 3), 5)
        .unwrap();
    assert_eq!(answer.source, Source::DenyCache);
}

/// Only the newest denial holds. Where it cannot be repeated, nor can an older one: its moment may be too early.
#[tokio::test(start_paused = true)]
async fn an_older_denial_does_not_outlive_a_newer_one() {
    let mut cached = CachedLimiter::new(anomaly_rules(HOUR, 2.0, 300_000), 60_000);
    for request_id in 1..=4 {
        assert!(
            cached
                .limiter
                .submit(request(Op::Check, "a", 2), request_id)
                .is_none()
        );
    }
    for _ in 1..=4 {
        cached.answers.recv().await.unwrap().1.unwrap();
    }
    // The first denial could have been repeated once, the second cannot.
    let crossing = cached.ask(Op::Check, "a", 2).await;
    let (source, anomaly) = (crossing.source, crossing.outcome.anomaly_status.anomaly());
    assert_eq!((source, anomaly), (Source::Redis, Some(5)));
}

/// The slot of the id moves to another shard, where the id is reset, and back.
#[tokio::test(start_paused = true)]
async fn a_reset_removes_the_denial_of_any_shard() {
    let mut cached = CachedLimiter::new(plain_rules(HOUR), 60_000);
    assert_eq!(cached.burst("a", 3, 10).await, (3, 6));
    cached.store.shard.store(1, Ordering::SeqCst);
    cached.ask(Op::Reset, "a", 3).await;
    cached.store.shard.store(0, Ordering::SeqCst);
    assert_eq!(cached.burst("a", 3, 4).await, (3, 0));
}
