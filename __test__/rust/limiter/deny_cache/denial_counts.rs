//! What the denied cache has answered is counted, soon, once, and at nobody's expense. The clock is Tokio's, paused.

use std::time::Duration;

use huntaze_rate_limit::store::Op;
use tokio::time::Instant;

use super::Way;
use crate::requests::{request, watched};

const HOUR: u64 = 3_600_000;
const CROWD: u32 = 200;

/// Tickets that no other request has.
const FLUSH: u32 = u32::MAX;
const ASKED: u32 = u32::MAX - 1;

fn crowd() -> impl Iterator<Item = String> {
    (0..CROWD).map(|i| format!("crowd-{i}"))
}

fn is_count(op: &Op) -> bool {
    matches!(op, Op::Denied(_))
}

#[tokio::test(start_paused = true)]
async fn its_denials_are_counted_within_a_second() {
    let mut way = Way::new(watched(HOUR, 2.0, 300_000), 60_000);
    let (_, cached) = way.storm("a", 10, 17).await;
    assert_eq!((cached, way.told()), (6, 0));
    let begun = Instant::now();
    way.answers.recv().await.unwrap().1.unwrap();
    assert_eq!(way.told(), 6);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

/// What is answered from the cache travels ahead of the id's next request, and is not lost when the limiter goes.
#[tokio::test(start_paused = true)]
async fn its_denials_are_counted_with_the_next_request_and_at_the_end() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    way.storm("a", 1, 7).await;
    way.storm("b", 1, 4).await;
    // A larger plan: the id's next request.
    way.storm("a", 2, 1).await;
    assert_eq!(way.told(), 5);
    drop(way.limiter);
    while way.answers.recv().await.is_some() {}
    let ops = way.store.ops();
    assert!(ops.contains(&Op::Denied(2)), "{ops:?}");
}

/// A crowd's counts go in small batches of their own, and whoever asks meanwhile goes first.
#[tokio::test(start_paused = true)]
async fn counts_hold_up_nobody() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    for who in crowd() {
        assert_eq!(way.storm(&who, 1, 3).await, (1, 1));
    }
    let before = way.store.batches().len();
    // Both are due when this thread, which runs the task too, lets go of it.
    assert!(way.limiter.flush(FLUSH));
    way.limiter.submit(request(Op::Check, "a", 5), ASKED);
    while way.answers.recv().await.unwrap().0 != FLUSH {}
    let batches = way.store.batches().split_off(before);
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
#[tokio::test(start_paused = true)]
async fn a_far_store_gets_them_all() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    for who in crowd() {
        way.storm(&who, 1, 3).await;
    }
    way.store.answers_after(Duration::from_millis(100));
    assert!(way.limiter.flush(FLUSH));
    while way.answers.recv().await.unwrap().0 != FLUSH {}
    assert_eq!(way.told(), CROWD);
}

/// A store that is away counts nothing, and does not hold up who closes.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_holds_up_no_flush() {
    let deadline = Duration::from_millis(500);
    let rules = watched(HOUR, 1000.0, 300_000);
    let mut way = Way::with_deadline(rules, 60_000, deadline);
    for who in crowd() {
        way.storm(&who, 1, 3).await;
    }
    way.store.answers_after(deadline * 100);
    assert!(way.limiter.flush(FLUSH));
    let begun = Instant::now();
    while way.answers.recv().await.unwrap().0 != FLUSH {}
    assert_eq!(begun.elapsed(), deadline);
    // Those under way; the others are given up.
    assert_eq!(way.told(), 64);
}

/// An id may be denied under two limits at once.
#[tokio::test(start_paused = true)]
async fn denials_under_two_limits_are_counted() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    assert_eq!(way.storm("a", 3, 6).await, (3, 2));
    assert!(way.limiter.submit(request(Op::Check, "a", 2), 90).is_none());
    assert!(way.limiter.submit(request(Op::Check, "a", 3), 91).is_some());
    while way.told() < 3 {
        way.answers.recv().await.unwrap().1.unwrap();
    }
    let counts: Vec<_> = way.store.ops().into_iter().filter(is_count).collect();
    assert_eq!(counts, [Op::Denied(2), Op::Denied(1)]);
}

/// Who closes knows that everything has been counted.
#[tokio::test(start_paused = true)]
async fn a_flush_is_over_when_all_has_been_counted() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    assert!(!way.limiter.flush(FLUSH));
    for who in crowd() {
        way.storm(&who, 1, 12).await;
    }
    assert!(way.limiter.flush(FLUSH));
    while way.answers.recv().await.unwrap().0 != FLUSH {}
    assert_eq!(way.told(), 10 * CROWD);
    assert!(!way.limiter.flush(FLUSH));
}

/// A reset begins anew: what was denied before it is counted no more.
#[tokio::test(start_paused = true)]
async fn a_reset_forgets_what_was_not_counted() {
    let mut way = Way::new(watched(HOUR, 1000.0, 300_000), 60_000);
    way.storm("a", 1, 5).await;
    way.ask(Op::Reset, "a", 1).await;
    if way.limiter.flush(FLUSH) {
        while way.answers.recv().await.unwrap().0 != FLUSH {}
    }
    assert_eq!(way.told(), 0);
}
