//! The denied cache: a repeated denial is answered in the call, exactly as long as that is certain.

use std::sync::atomic::Ordering;
use std::time::Duration;

use huntaze_rate_limit::limiter::Source;
use huntaze_rate_limit::store::Op;
use tokio::time::{advance, sleep};

use super::Way;
use crate::requests::{quiet, request, watched};

const HOUR: u64 = 3_600_000;

#[tokio::test(start_paused = true)]
async fn a_repeated_denial_does_not_reach_the_store() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    assert_eq!(way.storm("a", 3, 100).await, (3, 96));
    assert_eq!(way.asked(|op| op == Op::Check), 4);
    // Another id is none of its business.
    assert_eq!(way.storm("b", 3, 3).await, (3, 0));
}

#[tokio::test(start_paused = true)]
async fn it_says_what_the_store_would() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    way.storm("a", 3, 3).await;
    let asked = way.ask(Op::Limit, "a", 3).await;
    advance(Duration::from_millis(400)).await;
    let known = way.ask(Op::Limit, "a", 3).await;
    assert_eq!(
        (asked.source, known.source),
        (Source::Redis, Source::DenyCache)
    );
    let (asked, known) = (asked.outcome.decision, known.outcome.decision);
    assert_eq!(
        (known.is_allowed(), known.remaining, known.reset),
        (false, 0, asked.reset)
    );
    assert_eq!(known.retry_after_ms(), asked.retry_after_ms() - 400);
    assert_eq!(known.reset_after, asked.reset_after - 400);
}

/// Contract 4: whoever returns at the promised moment is let in, whoever made the promise.
#[tokio::test(start_paused = true)]
async fn its_promise_is_kept() {
    let mut way = Way::new(quiet(80), 60_000);
    for phase in 0..20 {
        // The store counts whole milliseconds: it is asked at any time within one.
        advance(Duration::from_micros(phase * 137)).await;
        while way
            .ask(Op::Check, "a", 2)
            .await
            .outcome
            .decision
            .is_allowed()
        {}
        let denial = way.ask(Op::Check, "a", 2).await;
        let wait = denial.outcome.decision.retry_after_ms();
        advance(Duration::from_millis(wait)).await;
        let answer = way.ask(Op::Check, "a", 2).await;
        assert!(
            answer.outcome.decision.is_allowed(),
            "denied after {wait} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_limit_is_another_question() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    assert_eq!(way.storm("a", 3, 5).await, (3, 1));
    // A larger plan has slots left.
    assert_eq!(way.storm("a", 5, 2).await, (2, 0));
    // Under a smaller one the slot frees later than the denial under three said.
    let smaller = way.ask(Op::Limit, "a", 2).await;
    assert_eq!(smaller.source, Source::Redis);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_seen_at_once() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    for _ in 0..5 {
        assert_eq!(way.storm("a", 2, 5).await, (2, 2));
        way.ask(Op::Reset, "a", 2).await;
    }
}

/// A denial that was under way when the id was reset is answered after the reset, and must not be remembered.
#[tokio::test(start_paused = true)]
async fn a_denial_from_before_a_reset_is_not_remembered() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    way.storm("a", 1, 1).await;
    for _ in 0..50 {
        // All three are on their way before the first is answered.
        for op in [Op::Check, Op::Reset, Op::Check] {
            assert!(way.limiter.submit(request(op, "a", 1), 0).is_none());
        }
        for _ in 0..3 {
            way.answers.recv().await.unwrap().1.unwrap();
        }
        way.ask(Op::Reset, "a", 1).await;
        let answer = way.ask(Op::Check, "a", 1).await;
        assert!(answer.outcome.decision.is_allowed());
        way.ask(Op::Reset, "a", 1).await;
        way.storm("a", 1, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_as_old_as_it_may_be_and_no_older() {
    let mut way = Way::new(quiet(HOUR), 50);
    way.storm("a", 1, 2).await;
    for (after, source) in [(49, Source::DenyCache), (1, Source::Redis)] {
        sleep(Duration::from_millis(after)).await;
        assert_eq!(way.ask(Op::Check, "a", 1).await.source, source);
    }
    let mut off = Way::new(quiet(HOUR), 0);
    assert_eq!(off.storm("a", 1, 50).await, (1, 0));
    assert_eq!(off.asked(|op| op == Op::Check), 50);
}

/// Contract 7: also those answered from a cache are counted, and the request that crosses reports it with its answer. Then
/// nothing is counted, and nothing reported.
#[tokio::test(start_paused = true)]
async fn the_request_that_crosses_reports_it() {
    let mut way = Way::new(watched(HOUR, 2.0, 300_000), 60_000);
    for request in 1..=1000 {
        let answer = way.ask(Op::Check, "a", 10).await;
        let reported = (request == 21).then_some(21);
        assert_eq!(answer.outcome.count.anomaly(), reported, "{request}");
    }
    // The ten admissions, the first denial, and the one that was the anomaly.
    assert_eq!(way.asked(|op| matches!(op, Op::Check | Op::Limit)), 12);
    assert_eq!(way.told(), 9);
}

/// Whether the asker's thread has fetched the answers or not.
#[tokio::test(start_paused = true)]
async fn a_denial_is_repeated_to_a_caller_who_has_not_been_told_of_it() {
    let way = Way::new(quiet(HOUR), 60_000);
    for ticket in 1..=4 {
        assert!(
            way.limiter
                .submit(request(Op::Check, "a", 3), ticket)
                .is_none()
        );
    }
    sleep(Duration::from_millis(1)).await;
    let (_, answer) = way.limiter.submit(request(Op::Check, "a", 3), 5).unwrap();
    assert_eq!(answer.source, Source::DenyCache);
}

/// The newest denial is the one that holds: where it cannot be repeated, nor can an older one, whose moment may be too early.
#[tokio::test(start_paused = true)]
async fn an_older_denial_does_not_outlive_a_newer_one() {
    let mut way = Way::new(watched(HOUR, 2.0, 300_000), 60_000);
    for ticket in 1..=4 {
        assert!(
            way.limiter
                .submit(request(Op::Check, "a", 2), ticket)
                .is_none()
        );
    }
    for _ in 1..=4 {
        way.answers.recv().await.unwrap().1.unwrap();
    }
    // The first denial could have been repeated once, the second cannot.
    let crossing = way.ask(Op::Check, "a", 2).await;
    let (source, anomaly) = (crossing.source, crossing.outcome.count.anomaly());
    assert_eq!((source, anomaly), (Source::Redis, Some(5)));
}

/// Its slot goes from one part to another, where it is reset, and back.
#[tokio::test(start_paused = true)]
async fn a_reset_is_heeded_whatever_part_has_denied() {
    let mut way = Way::new(quiet(HOUR), 60_000);
    assert_eq!(way.storm("a", 3, 10).await, (3, 6));
    way.store.part.store(1, Ordering::SeqCst);
    way.ask(Op::Reset, "a", 3).await;
    way.store.part.store(0, Ordering::SeqCst);
    assert_eq!(way.storm("a", 3, 4).await, (3, 0));
}
