//! The store counts the denials that the deny cache has answered: soon, once, and without delaying a check.

use std::time::Duration;

use huntaze_rate_limit::limiter::Source;
use huntaze_rate_limit::store::Op;

use super::{caching, caching_with_deadline};
use crate::requests::{anomaly_rules, request};

const HOUR: u64 = 3_600_000;
const CROWD: u32 = 200;

/// Request ids that no other request has.
const FLUSH: u32 = u32::MAX;
const ASKED: u32 = u32::MAX - 1;

fn crowd() -> impl Iterator<Item = String> {
    (0..CROWD).map(|i| format!("crowd-{i}"))
}

fn is_count(op: &Op) -> bool {
    matches!(op, Op::CountDenials(_))
}

#[test]
fn denials_are_counted_within_a_second() {
    let mut cached = caching(anomaly_rules(HOUR, 2.0, 300_000), 60_000);
    let (_, hits) = cached.burst("a", 10, 17);
    assert_eq!((hits, cached.counted()), (6, 0));
    cached.run(Duration::from_millis(999));
    assert_eq!(cached.counted(), 6);
}

/// The count of an id's denials is sent ahead of its next request, and is not lost when the limiter is dropped.
#[test]
fn denials_are_counted_with_the_next_request_and_at_the_end() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    cached.burst("a", 1, 7);
    cached.burst("b", 1, 4);
    // A larger plan: the id's next request.
    cached.burst("a", 2, 1);
    assert_eq!(cached.counted(), 5);
    cached.close();
    assert!(!cached.limiters[0].remote.is_closed());
    cached.run_to_end();
    assert!(cached.limiters[0].remote.is_closed());
    let ops = cached.store.ops();
    assert!(ops.contains(&Op::CountDenials(2)), "{ops:?}");
}

/// The counts of many ids are sent in small batches of their own, and a check submitted meanwhile goes first.
#[test]
fn counts_delay_no_check() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    for who in crowd() {
        assert_eq!(cached.burst(&who, 1, 3), (1, 1));
    }
    let before = cached.store.batches.len();
    // Both are due when this thread, which also runs the worker, yields.
    assert!(cached.flush(FLUSH));
    cached.submit(request(Op::Check, "a", 5), ASKED);
    cached.until_flushed(FLUSH);
    let batches = cached.store.batches.split_off(before);
    let (checks, counts): (Vec<_>, Vec<_>) = batches
        .iter()
        .partition(|batch| !batch.iter().any(is_count));
    assert_eq!(checks, [&vec![Op::Check]]);
    assert!(
        counts
            .iter()
            .all(|batch| batch.len() <= 16 && batch.iter().all(is_count))
    );
    assert_eq!(batches[0], [Op::Check]);
}

/// Counts have time until the store has taken them, however slow it is to answer.
#[test]
fn a_slow_store_gets_all_counts() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    for who in crowd() {
        cached.burst(&who, 1, 3);
    }
    cached.store.delay = Duration::from_millis(100);
    assert!(cached.flush(FLUSH));
    cached.until_flushed(FLUSH);
    assert_eq!(cached.counted(), CROWD);
}

/// A store that is away counts nothing, and does not delay the close.
#[test]
fn a_store_that_is_away_delays_a_flush_to_the_deadline_at_most() {
    let deadline = Duration::from_millis(500);
    let rules = anomaly_rules(HOUR, 1000.0, 300_000);
    let mut cached = caching_with_deadline(rules, 60_000, deadline);
    for who in crowd() {
        cached.burst(&who, 1, 3);
    }
    cached.store.delay = deadline * 100;
    assert!(cached.flush(FLUSH));
    let begun = cached.elapsed();
    cached.until_flushed(FLUSH);
    assert_eq!(cached.elapsed() - begun, deadline);
    // The counts in flight; the others are given up.
    assert_eq!(cached.counted(), 64);
}

/// An id may be denied under two limits at once.
#[test]
fn denials_under_two_limits_are_counted() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    assert_eq!(cached.burst("a", 3, 6), (3, 2));
    assert!(cached.submit(request(Op::Check, "a", 2), 90).is_none());
    assert!(cached.submit(request(Op::Check, "a", 3), 91).is_some());
    cached.run(Duration::from_secs(1));
    let counts: Vec<_> = cached.store.ops().into_iter().filter(is_count).collect();
    assert_eq!(counts, [Op::CountDenials(2), Op::CountDenials(1)]);
}

/// A process that closes its limiter knows by then that everything has been counted.
#[test]
fn a_flush_is_over_when_all_has_been_counted() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    assert!(!cached.flush(FLUSH));
    for who in crowd() {
        cached.burst(&who, 1, 12);
    }
    assert!(cached.flush(FLUSH));
    cached.until_flushed(FLUSH);
    assert_eq!(cached.counted(), 10 * CROWD);
    assert!(!cached.flush(FLUSH));
}

/// Denials from before a reset are not counted any more.
#[test]
fn a_reset_forgets_what_was_not_counted() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    cached.burst("a", 1, 5);
    cached.answer(Op::Reset, "a", 1);
    if cached.flush(FLUSH) {
        cached.until_flushed(FLUSH);
    }
    assert_eq!(cached.counted(), 0);
}

/// A store that refuses counts is away: it is not sent the others, one batch after the other.
#[test]
fn counts_that_are_refused_are_the_last() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    for who in crowd() {
        cached.burst(&who, 1, 3);
    }
    cached.store.away = true;
    cached.store.delay = Duration::from_millis(1);
    assert!(cached.flush(FLUSH));
    cached.until_flushed(FLUSH);
    cached.run(Duration::from_secs(10));
    // Four batches were in flight together.
    assert_eq!(cached.counted(), 64);
    assert_eq!(cached.limiters[0].changes, []);
}

/// A store that is away counts nothing: what was repeated meanwhile is not sent when it is back.
#[test]
fn denials_repeated_while_the_store_is_away_are_not_counted() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    assert_eq!(cached.burst("a", 1, 2), (1, 0));
    cached.store.away = true;
    for _ in 0..3 {
        assert!(cached.ask(Op::Check, "b", 1).is_err());
    }
    assert_eq!(cached.limiters[0].changes.len(), 1);
    for _ in 0..5 {
        let answer = cached.answer(Op::Check, "a", 1);
        assert_eq!(answer.source, Source::DenyCache);
    }
    // They become due before the first probe.
    cached.run(Duration::from_millis(900));
    cached.store.away = false;
    cached.run(Duration::from_secs(10));
    assert_eq!(cached.limiters[0].changes.len(), 2);
    assert_eq!(cached.counted(), 0);
}

/// A second flush replaces the first, and both complete.
#[test]
fn a_flush_that_is_replaced_completes() {
    let mut cached = caching(anomaly_rules(HOUR, 1000.0, 300_000), 60_000);
    cached.burst("a", 1, 5);
    cached.store.delay = Duration::from_millis(100);
    assert!(cached.flush(FLUSH) && cached.flush(FLUSH - 1));
    cached.run(Duration::from_secs(1));
    assert_eq!(cached.limiters[0].flushed, [FLUSH, FLUSH - 1]);
}
