//! Decisions made while the store was away are replayed to it, before it decides again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Fallback, Limiter, Local, OnStoreError, Source};
use huntaze_rate_limit::store::Op;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::flaky_store::{DEADLINE, FlakyStore, Outage, PATIENT};
use super::test_doubles::{collector, hour, metrics};
use crate::requests::{request, scope};

#[tokio::test(start_paused = true)]
async fn local_admissions_are_replayed_before_the_first_check() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    for _ in 0..7 {
        let _ = outage.ask(Op::Limit, "7").await;
    }
    let sent = outage.store.sent();
    outage.come_back().await;
    // Three of id 1, five of the seven of id 7, and perhaps some of id 2, which checked until the store was back.
    let replayed = outage.store.replayed();
    assert_eq!(replayed[..2], [("1".to_owned(), 3), ("7".to_owned(), 5)]);
    assert_eq!(outage.store.sent(), sent + 1);
    // Each is replayed once.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(outage.store.replayed(), replayed);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_replayed_and_the_admissions_before_it_are_not() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    for op in [Op::Check, Op::Check, Op::Reset, Op::Check] {
        assert_eq!(outage.ask(op, "7").await, Ok(Source::Local));
    }
    outage.come_back().await;
    let replayed = outage.store.0.replayed.lock().unwrap();
    let entry = replayed.iter().find(|r| r.id.as_str() == "7").unwrap();
    assert!(entry.reset.is_some());
    assert_eq!(entry.ages.len(), 1);
}

/// One check fails, and the store is well otherwise.
#[tokio::test(start_paused = true)]
async fn a_lone_local_decision_is_replayed_soon() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.store.set_away(true);
    assert_eq!(outage.ask(Op::Check, "1").await, Ok(Source::Local));
    outage.store.set_away(false);
    let begun = Instant::now();
    while outage.store.replayed().is_empty() {
        assert!(begun.elapsed() < PATIENT);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(outage.store.replayed(), [("1".to_owned(), 1)]);
    assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 0);
}

/// A replay in flight when the breaker opens, which arrives over a new connection, shows that the store is back.
#[tokio::test(start_paused = true)]
async fn a_store_that_has_just_taken_a_replay_is_used_at_once() {
    let mut outage = Outage::new(OnStoreError::Local);
    let store = outage.store.clone();
    store.0.held.store(true, Ordering::SeqCst);
    outage.store.set_away(true);
    assert_eq!(outage.ask(Op::Check, "1").await, Ok(Source::Local));
    let begun = Instant::now();
    while store.0.replaying.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < PATIENT);
        sleep(Duration::from_millis(1)).await;
    }
    outage.go_away().await;
    outage.store.set_away(false);
    store.0.held.store(false, Ordering::SeqCst);
    store.0.go_on.notify_one();
    let begun = Instant::now();
    while outage.ask(Op::Check, "2").await != Ok(Source::Redis) {
        // Without that replay the first probe comes after a second at the earliest.
        assert!(begun.elapsed() < Duration::from_secs(1));
        sleep(Duration::from_millis(10)).await;
    }
}

/// A store that comes and goes grants no more than one limit.
#[tokio::test(start_paused = true)]
async fn the_local_logs_outlive_a_recovery() {
    let mut outage = Outage::new(OnStoreError::Local);
    let mut admitted = 0;
    for _ in 0..3 {
        outage.go_away().await;
        for _ in 0..5 {
            let asked = outage.limiter.submit(request(Op::Limit, "7", 5), 0);
            let (_, answer) = asked.expect("in the call");
            admitted += u32::from(answer.outcome.decision.is_allowed());
        }
        outage.come_back().await;
    }
    assert_eq!(admitted, 5);
    let of_seven = |replayed: Vec<(String, usize)>| -> usize {
        let of_seven = replayed.iter().filter(|(who, _)| who == "7");
        of_seven.map(|(_, count)| count).sum()
    };
    assert_eq!(of_seven(outage.store.replayed()), 5);
}

#[tokio::test(start_paused = true)]
async fn entries_that_the_store_refuses_are_kept() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    outage.store.0.full.store(true, Ordering::SeqCst);
    outage.come_back().await;
    assert_eq!(outage.store.replayed(), []);
    outage.store.0.full.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    while !outage.store.replayed().contains(&("1".to_owned(), 3)) {
        assert!(begun.elapsed() < PATIENT, "{:?}", outage.store.replayed());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_policies_replay_nothing() {
    for policy in [OnStoreError::Open, OnStoreError::Closed] {
        let mut outage = Outage::new(policy);
        outage.go_away().await;
        outage.come_back().await;
        assert_eq!(outage.store.replayed(), []);
    }
}

/// An admission counts twice at most, which errs on the strict side, and not once for each attempt.
#[tokio::test(start_paused = true)]
async fn a_replay_without_a_reply_is_sent_once_more_and_not_again() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    outage.store.0.loses_replies.store(true, Ordering::SeqCst);
    outage.come_back().await;
    let of_one = || {
        let replayed = outage.store.replayed();
        replayed
            .into_iter()
            .filter(|entry| *entry == ("1".to_owned(), 3))
            .count()
    };
    assert_eq!(of_one(), 2);
}

/// A limiter must not use a store while another limiter of its name is still replaying to it.
#[tokio::test(start_paused = true)]
async fn two_limiters_of_one_name_wait_for_each_other() {
    let store = FlakyStore::default();
    let local = Local::default();
    let (sink, mut answers) = collector();
    let make = || {
        let fallback = Fallback::new(OnStoreError::Local, hour(), local.clone());
        let (store, sink) = (Arc::new(store.clone()), sink.clone());
        Limiter::remote(
            &Handle::current(),
            store,
            scope("t", hour()),
            DEADLINE,
            fallback,
            sink,
            metrics(),
        )
    };
    let limiters = [make(), make()];
    store.set_away(true);
    for _ in 0..3 {
        for limiter in &limiters {
            if limiter.submit(request(Op::Check, "1", 50), 0).is_none() {
                let (_, answer) = answers.recv().await.unwrap();
                assert_eq!(answer.unwrap().source, Source::Local);
            }
        }
    }
    // One replay session is open, and takes its time.
    let replaying = local.journal.replay(0).unwrap();
    assert!(local.journal.replay(0).is_none());
    assert!(local.journal.replay(0).is_none());
    let taken = replaying.take(&local.logs);
    store.set_away(false);
    sleep(Duration::from_millis(2500)).await;
    assert!(store.0.probes.load(Ordering::SeqCst) >= 4);
    for limiter in &limiters {
        let (_, answer) = limiter
            .submit(request(Op::Check, "1", 50), 0)
            .expect("in the call");
        assert_eq!(answer.source, Source::Local);
    }
    drop(taken);
    drop(replaying);
    sleep(Duration::from_millis(500)).await;
    let replayed: usize = store.replayed().iter().map(|(_, count)| count).sum();
    assert_eq!(replayed, 8);
    for limiter in &limiters {
        assert!(limiter.submit(request(Op::Check, "1", 50), 0).is_none());
        let (_, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.unwrap().source, Source::Redis);
    }
}

/// A reset done by the store holds for the local log, too.
#[tokio::test(start_paused = true)]
async fn a_reset_by_the_store_forgets_local_decisions() {
    let mut outage = Outage::new(OnStoreError::Local);
    for _ in 0..2 {
        outage.go_away().await;
        for _ in 0..5 {
            let (_, answer) = outage
                .limiter
                .submit(request(Op::Limit, "7", 5), 0)
                .unwrap();
            assert!(answer.outcome.decision.is_allowed());
        }
        outage.come_back().await;
        assert_eq!(outage.ask(Op::Reset, "7").await, Ok(Source::Redis));
    }
}

/// A store out of memory goes away and comes back with some: the pause between two replays does not delay the recovery.
#[tokio::test(start_paused = true)]
async fn an_outage_during_a_pause_is_noticed() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    outage.store.0.full.store(true, Ordering::SeqCst);
    outage.come_back().await;
    // Pauses of 0.5 to 1 s, 1 to 2, 2 to 4: the next is the long one.
    sleep(Duration::from_millis(3500)).await;
    outage.go_away().await;
    outage.store.0.full.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    outage.come_back().await;
    assert!(
        begun.elapsed() < Duration::from_millis(1800),
        "{:?}",
        begun.elapsed()
    );
}
