//! An id that is denied and asks on: at an expiry one request asks, and the others wait for its answer. The clock is Tokio's,
//! paused.

use std::time::Duration;

use huntaze_rate_limit::limiter::{Answer, Source};
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};
use tokio::time::{Instant, advance, sleep};

use super::Way;
use crate::requests::{quiet, request, watched};

const HOUR: u64 = 3_600_000;
const CROWD: u32 = 200;
const TRIP: Duration = Duration::from_millis(10);

fn asks(op: Op) -> bool {
    matches!(op, Op::Check | Op::Limit)
}

/// A limiter whose store takes a while, and one id at its limit whose denial has just expired.
async fn expired(mut way: Way, limit: u32, after: Duration) -> (Way, usize) {
    way.storm("a", limit, limit + 1).await;
    way.store.answers_after(TRIP);
    sleep(after).await;
    let asked = way.asked(asks);
    (way, asked)
}

/// What the crowd is answered, in the order of the answers.
async fn crowd(way: &mut Way, limit: u32) -> Vec<Result<Answer, StoreError>> {
    for ticket in 0..CROWD {
        let asked = way.limiter.submit(request(Op::Check, "a", limit), ticket);
        assert!(asked.is_none());
    }
    let mut answers = Vec::new();
    while answers.len() < CROWD as usize {
        let (ticket, answer) = way.answers.recv().await.unwrap();
        if ticket < CROWD {
            answers.push(answer);
        }
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn one_asks_and_the_others_wait_for_its_answer() {
    let (mut way, before) = expired(Way::new(quiet(HOUR), 50), 3, Duration::from_millis(50)).await;
    let begun = Instant::now();
    let answers = crowd(&mut way, 3).await;
    assert_eq!(begun.elapsed(), TRIP);
    assert_eq!(way.asked(asks) - before, 1);
    let sources = answers.iter().map(|answer| answer.as_ref().unwrap().source);
    let cached = sources.filter(|&source| source == Source::DenyCache);
    assert_eq!(cached.count() as u32, CROWD - 1);
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_pause_ask_twice_an_expiry_at_most() {
    let (mut way, before) = expired(Way::new(quiet(HOUR), 50), 3, Duration::from_millis(50)).await;
    let mut in_flight = 0;
    let begun = Instant::now();
    // Twenty in flight, each asking anew when it is answered: eleven expiries.
    while begun.elapsed() < Duration::from_millis(50 * 11) {
        while in_flight < 20 {
            match way.limiter.submit(request(Op::Check, "a", 3), 0) {
                Some(_) => break,
                None => in_flight += 1,
            }
        }
        advance(Duration::from_millis(1)).await;
        while way.answers.try_recv().is_ok() {
            in_flight -= 1;
        }
    }
    let asked = way.asked(asks) - before;
    assert!((10..=22).contains(&asked), "{asked}");
}

/// A slot that has become free is taken at once, and by as many as there are slots.
#[tokio::test(start_paused = true)]
async fn as_many_ask_as_there_are_slots_and_one_more() {
    let window = Duration::from_millis(1000);
    let (mut way, before) = expired(Way::new(quiet(1000), 60_000), 3, window).await;
    let answers = crowd(&mut way, 3).await;
    let allowed = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().outcome.decision.is_allowed());
    assert_eq!(allowed.count(), 3);
    assert_eq!(way.asked(asks) - before, 4);
}

/// Where there is room for all, nobody waits any more.
#[tokio::test(start_paused = true)]
async fn a_reset_lets_them_all_ask() {
    let (mut way, before) =
        expired(Way::new(quiet(HOUR), 50), 300, Duration::from_millis(50)).await;
    // Reset by another process.
    let reset = request(Op::Reset, "a", 300);
    way.store.store().answer(quiet(HOUR), &reset);
    let answers = crowd(&mut way, 300).await;
    let allowed =
        |answer: &Result<Answer, _>| answer.as_ref().unwrap().outcome.decision.is_allowed();
    assert!(answers.iter().all(allowed));
    assert_eq!(way.asked(asks) - before, CROWD as usize);
}

/// Here the id is reset while others wait.
#[tokio::test(start_paused = true)]
async fn a_reset_by_this_process_releases_who_waits() {
    let (mut way, _) = expired(Way::new(quiet(HOUR), 50), 3, Duration::from_millis(50)).await;
    for ticket in 1..=4 {
        assert!(
            way.limiter
                .submit(request(Op::Check, "a", 3), ticket)
                .is_none()
        );
    }
    assert!(way.limiter.submit(request(Op::Reset, "a", 3), 5).is_none());
    let mut allowed = 0;
    for _ in 0..5 {
        let (ticket, answer) = way.answers.recv().await.unwrap();
        allowed += u32::from(ticket != 5 && answer.unwrap().outcome.decision.is_allowed());
    }
    // They were asked before the reset.
    assert_eq!(allowed, 0);
    assert!(
        way.ask(Op::Check, "a", 3)
            .await
            .outcome
            .decision
            .is_allowed()
    );
}

/// Nobody waits longer than for its own deadline.
#[tokio::test(start_paused = true)]
async fn a_store_that_falls_silent_holds_up_nobody_beyond_the_deadline() {
    let deadline = Duration::from_millis(500);
    let way = Way::with_deadline(quiet(HOUR), 50, deadline);
    let (mut way, _) = expired(way, 3, Duration::from_millis(50)).await;
    way.store.answers_after(deadline * 100);
    let begun = Instant::now();
    for ticket in 0..20 {
        assert!(
            way.limiter
                .submit(request(Op::Check, "a", 3), ticket)
                .is_none()
        );
        advance(Duration::from_millis(5)).await;
    }
    let mut last = Duration::ZERO;
    for _ in 0..20 {
        let (ticket, answer) = way.answers.recv().await.unwrap();
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
        let asked = Duration::from_millis(5) * ticket;
        let waited = begun.elapsed() - asked;
        assert!(waited <= deadline + Duration::from_millis(1), "{waited:?}");
        last = begun.elapsed();
    }
    assert!(last >= deadline);
}

/// The one that may be the anomaly asks, also where it has waited.
#[tokio::test(start_paused = true)]
async fn who_waits_is_counted_and_the_anomaly_reported_once() {
    let way = Way::new(watched(HOUR, 2.0, 300_000), 50);
    let (mut way, before) = expired(way, 100, Duration::from_millis(50)).await;
    let answers = crowd(&mut way, 100).await;
    let reports = answers
        .iter()
        .filter_map(|answer| answer.as_ref().unwrap().outcome.count.anomaly());
    assert_eq!(reports.collect::<Vec<_>>(), [201]);
    assert_eq!(way.asked(asks) - before, 2);
}

/// A limiter that is dropped while requests wait answers them first.
#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_before_the_limiter_ends() {
    let (way, _) = expired(Way::new(quiet(HOUR), 50), 3, Duration::from_millis(50)).await;
    for ticket in 0..CROWD {
        assert!(
            way.limiter
                .submit(request(Op::Check, "a", 3), ticket)
                .is_none()
        );
    }
    let Way {
        limiter,
        mut answers,
        ..
    } = way;
    drop(limiter);
    let mut denied = 0;
    while let Some((_, answer)) = answers.recv().await {
        denied += u32::from(!answer.unwrap().outcome.decision.is_allowed());
    }
    assert_eq!(denied, CROWD);
}

/// The entry outlives sweeps: the first request after a pause asks for all.
#[tokio::test(start_paused = true)]
async fn after_a_pause_one_asks_as_well() {
    for pause in [400, 700, 1300, 3000] {
        let pause = Duration::from_millis(pause);
        let (mut way, before) = expired(Way::new(quiet(HOUR), 300), 3, pause).await;
        crowd(&mut way, 3).await;
        assert_eq!(way.asked(asks) - before, 1, "{pause:?}");
    }
}

/// A denial from before another id's reset is not remembered: nobody waits for one answer after another.
#[tokio::test(start_paused = true)]
async fn resets_of_other_ids_hold_up_nobody() {
    let (mut way, _) = expired(Way::new(quiet(HOUR), 50), 3, Duration::from_millis(50)).await;
    let begun = Instant::now();
    for ticket in 0..CROWD {
        let asked = way.limiter.submit(request(Op::Check, "a", 3), ticket);
        assert!(asked.is_none());
    }
    let mut answered = 0;
    while answered < CROWD {
        way.limiter.submit(request(Op::Reset, "other", 3), CROWD);
        sleep(Duration::from_millis(4)).await;
        while let Ok((ticket, answer)) = way.answers.try_recv() {
            if ticket < CROWD {
                assert!(!answer.unwrap().outcome.decision.is_allowed());
                answered += 1;
            }
        }
        assert!(begun.elapsed() < TRIP * 10, "{answered}");
    }
}
