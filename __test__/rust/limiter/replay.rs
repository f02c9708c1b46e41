//! Decisions made while the store was away are replayed to it, before it decides again.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::Op;

use super::fake_stores::FlakyStore;
use super::outage::{DEADLINE, RECOVERED, outage};
use super::simulation::Setup;
use crate::requests::request;

#[test]
fn local_admissions_are_replayed_before_the_first_check() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    for _ in 0..7 {
        let _ = outage.source(Op::Limit, "7");
    }
    let sent = outage.store.sent;
    outage.come_back();
    // Three of id 1, five of the seven of id 7, and perhaps some of id 2, which checked until the store was back.
    let replayed = outage.store.replayed();
    assert_eq!(replayed[..2], [("1".to_owned(), 3), ("7".to_owned(), 5)]);
    assert_eq!(outage.store.sent, sent + 1);
    // Each is replayed once.
    outage.run(Duration::from_millis(50));
    assert_eq!(outage.store.replayed(), replayed);
}

#[test]
fn a_reset_is_replayed_and_the_admissions_before_it_are_not() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    for op in [Op::Check, Op::Check, Op::Reset, Op::Check] {
        assert_eq!(outage.source(op, "7"), Ok(Source::Local));
    }
    outage.come_back();
    let mut replays = outage.store.replays.iter();
    let entry = replays.find(|r| r.id.as_str() == "7").unwrap();
    assert!(entry.reset.is_some());
    assert_eq!(entry.ages.len(), 1);
}

/// One check fails, and the store is well otherwise.
#[test]
fn a_lone_local_decision_is_replayed_soon() {
    let mut outage = outage(OnStoreError::Local);
    outage.store.away = true;
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
    outage.store.away = false;
    outage.run_until(|outage| !outage.store.replayed().is_empty());
    assert_eq!(outage.store.replayed(), [("1".to_owned(), 1)]);
    assert_eq!(outage.store.probes, 0);
}

/// A replay in flight when the breaker opens, which arrives over a new connection, shows that the store is back.
#[test]
fn a_store_that_has_just_taken_a_replay_is_used_at_once() {
    let mut outage = outage(OnStoreError::Local);
    outage.store.held = true;
    outage.store.away = true;
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
    outage.run_until(|outage| outage.store.replaying > 0);
    outage.go_away();
    outage.store.away = false;
    outage.store.held = false;
    outage.ask_again();
    let begun = outage.elapsed();
    while outage.source(Op::Check, "2") != Ok(Source::Redis) {
        // Without that replay the first probe comes after a second at the earliest.
        assert!(outage.elapsed() - begun < Duration::from_secs(1));
        outage.run(Duration::from_millis(10));
    }
}

/// A store that comes and goes grants no more than one limit.
#[test]
fn the_local_logs_outlive_a_recovery() {
    let mut outage = outage(OnStoreError::Local);
    let mut admitted = 0;
    for _ in 0..3 {
        outage.go_away();
        for _ in 0..5 {
            let asked = outage.submit(request(Op::Limit, "7", 5), 0);
            let (_, answer) = asked.expect("in the call");
            admitted += u32::from(answer.outcome.decision.is_allowed());
        }
        outage.come_back();
    }
    assert_eq!(admitted, 5);
    let replayed = outage.store.replayed().into_iter();
    let of_seven = replayed.filter(|(who, _)| who == "7");
    assert_eq!(of_seven.map(|(_, count)| count).sum::<usize>(), 5);
}

#[test]
fn entries_that_the_store_refuses_are_kept() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    outage.store.full = true;
    outage.come_back();
    assert_eq!(outage.store.replayed(), []);
    outage.store.full = false;
    let entry = ("1".to_owned(), 3);
    outage.run_until(|outage| outage.store.replayed().contains(&entry));
}

#[test]
fn other_policies_replay_nothing() {
    for policy in [OnStoreError::Open, OnStoreError::Closed] {
        let mut outage = outage(policy);
        outage.go_away();
        outage.come_back();
        assert_eq!(outage.store.replayed(), []);
    }
}

/// An admission counts twice at most, which errs on the strict side, and not once for each attempt.
#[test]
fn a_replay_without_a_reply_is_sent_once_more_and_not_again() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    outage.store.loses_replies = true;
    outage.come_back();
    let entry = ("1".to_owned(), 3);
    let replayed = outage.store.replayed().into_iter();
    assert_eq!(replayed.filter(|replay| *replay == entry).count(), 2);
}

/// A replay that is not answered in time may have been entered, too.
#[test]
fn a_replay_that_is_late_is_sent_once_more_and_not_again() {
    let mut outage = outage(OnStoreError::Local);
    (outage.store.away, outage.store.held) = (true, true);
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
    outage.store.away = false;
    outage.run(Duration::from_secs(60));
    assert_eq!(outage.store.replaying, 2);
    assert!(!outage.flush(1));
}

/// A replay whose connection is never ready has not been entered, however often it is abandoned.
#[test]
fn a_replay_that_was_not_sent_is_not_in_doubt() {
    for closes in [false, true] {
        let mut outage = outage(OnStoreError::Local);
        (outage.store.away, outage.store.unreachable) = (true, true);
        assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
        outage.store.away = false;
        outage.run(Duration::from_secs(60));
        assert!(outage.abandoned > 2);
        if closes {
            let local = Some(outage.limiters[0].local.clone());
            outage.close();
            assert!(outage.limiters[0].remote.is_closed());
            outage.add(&Setup {
                local,
                ..Setup::new(OnStoreError::Local, DEADLINE)
            });
        }
        outage.store.unreachable = false;
        outage.run(Duration::from_secs(60));
        assert_eq!(outage.store.replayed(), [("1".to_owned(), 1)]);
    }
}

/// A call of a replay has a second, or two deadlines.
#[test]
fn a_replay_that_is_not_answered_in_time_is_abandoned() {
    for (deadline, budget) in [(100, 1000), (2000, 4000)] {
        let deadline = Duration::from_millis(deadline);
        let mut outage = Setup::new(OnStoreError::Local, deadline).over(FlakyStore::default());
        (outage.store.away, outage.store.held) = (true, true);
        assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
        assert_eq!(outage.store.replaying, 1);
        outage.run(Duration::from_millis(budget - 1));
        assert_eq!(outage.abandoned, 0);
        outage.run(Duration::from_millis(1));
        assert_eq!(outage.abandoned, 1);
    }
}

/// The limiter is closed with a replay in flight. Another of its name sends it once more, and not again.
#[test]
fn a_replay_in_flight_at_the_close_is_in_doubt() {
    let mut outage = outage(OnStoreError::Local);
    (outage.store.away, outage.store.held) = (true, true);
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
    outage.store.away = false;
    outage.run(Duration::from_millis(1));
    assert_eq!(outage.store.replaying, 1);
    outage.close();
    // The engine drops a closed limiter: not before its replay has been abandoned.
    assert_eq!(outage.abandoned, 1);
    assert!(outage.limiters[0].remote.is_closed());
    outage.add(&Setup {
        local: Some(outage.limiters[0].local.clone()),
        ..Setup::new(OnStoreError::Local, DEADLINE)
    });
    outage.run(Duration::from_secs(60));
    assert_eq!(outage.store.replaying, 2);
}

/// A limiter must not use a store while another limiter of its name is still replaying to it.
#[test]
fn two_limiters_of_one_name_wait_for_each_other() {
    let mut outage = outage(OnStoreError::Local);
    let local = outage.limiters[0].local.clone();
    outage.add(&Setup {
        local: Some(local.clone()),
        ..Setup::new(OnStoreError::Local, DEADLINE)
    });
    outage.store.away = true;
    for _ in 0..3 {
        for at in 0..2 {
            let asked = request(Op::Check, "1", 50);
            let answer = outage.submit_to(at, asked, 0).map(|(_, answer)| answer);
            outage.run(Duration::ZERO);
            let later = outage.limiters[at].answers.pop_front();
            let answer = answer.or(later.map(|(_, answer)| answer.unwrap()));
            assert_eq!(answer.unwrap().source, Source::Local);
        }
    }
    // One replay is in flight, and takes its time.
    let taken = local.journal.claim(&local.logs, |_| true).unwrap();
    assert!(local.journal.claim(&local.logs, |_| true).is_none());
    outage.store.away = false;
    outage.run(Duration::from_millis(2500));
    assert!(outage.store.probes >= 4);
    for at in 0..2 {
        let (_, answer) = outage
            .submit_to(at, request(Op::Check, "1", 50), 0)
            .expect("in the call");
        assert_eq!(answer.source, Source::Local);
    }
    drop(taken);
    outage.run(Duration::from_millis(500));
    let replayed = outage.store.replayed().into_iter();
    assert_eq!(replayed.map(|(_, count)| count).sum::<usize>(), 8);
    for at in 0..2 {
        let answer = outage.submit_to(at, request(Op::Check, "1", 50), 0);
        assert!(answer.is_none());
        outage.run(Duration::ZERO);
        let (_, answer) = outage.limiters[at].answers.pop_front().unwrap();
        assert_eq!(answer.unwrap().source, Source::Redis);
    }
}

/// A reset done by the store holds for the local log, too.
#[test]
fn a_reset_by_the_store_forgets_local_decisions() {
    let mut outage = outage(OnStoreError::Local);
    for _ in 0..2 {
        outage.go_away();
        for _ in 0..5 {
            let (_, answer) = outage.submit(request(Op::Limit, "7", 5), 0).unwrap();
            assert!(answer.outcome.decision.is_allowed());
        }
        outage.come_back();
        assert_eq!(outage.source(Op::Reset, "7"), Ok(Source::Redis));
    }
}

/// A store out of memory goes away and comes back with some: the pause between two replays does not delay the recovery.
#[test]
fn an_outage_during_a_pause_is_noticed() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    outage.store.full = true;
    outage.come_back();
    // Pauses of 0.5 to 1 s, 1 to 2, 2 to 4: the next is the long one.
    outage.run(Duration::from_millis(3500));
    outage.go_away();
    outage.store.full = false;
    let begun = outage.elapsed();
    outage.come_back();
    let lasted = outage.elapsed() - begun;
    assert!(lasted < Duration::from_millis(1800), "{lasted:?}");
}

/// A store that takes replays one call after the other, but no end is in sight: requests do not wait for ever.
#[test]
fn requests_wait_half_a_minute_at_most_for_a_replay() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    let local = outage.limiters[0].local.clone();
    // Another limiter of the name holds a claim, and never ends.
    let _claim = local.journal.claim(&local.logs, |_| true).unwrap();
    outage.store.away = false;
    outage.run(Duration::from_secs(29));
    assert_eq!(outage.source(Op::Status, "2"), Ok(Source::Local));
    outage.run(Duration::from_secs(4));
    assert_eq!(outage.source(Op::Status, "2"), Ok(Source::Redis));
}

/// Of a store that is away again during the replay nothing is asked until two more probes have succeeded.
#[test]
fn a_store_that_goes_away_during_the_replay_stays_away() {
    let mut outage = outage(OnStoreError::Local);
    outage.go_away();
    outage.store.away = false;
    outage.store.held = true;
    outage.run_until(|outage| outage.store.replaying > 0);
    let (sent, probes) = (outage.store.sent, outage.store.probes);
    outage.store.away = true;
    outage.store.held = false;
    outage.ask_again();
    outage.run(Duration::from_millis(900));
    assert_eq!(outage.source(Op::Check, "2"), Ok(Source::Local));
    assert_eq!((outage.store.sent, outage.store.probes), (sent, probes));
    outage.store.away = false;
    outage.run(RECOVERED);
    assert_eq!(outage.source(Op::Check, "2"), Ok(Source::Redis));
    assert!(outage.store.probes >= probes + 2);
}

/// A store that decides but does not take a replay is asked less and less often: after one second, two, four, up to thirty, or
/// after half of that at the earliest.
#[test]
fn a_replay_that_is_refused_is_sent_less_and_less_often() {
    let mut outage = outage(OnStoreError::Local);
    (outage.store.away, outage.store.full) = (true, true);
    assert_eq!(outage.source(Op::Check, "1"), Ok(Source::Local));
    outage.store.away = false;
    let (mut last, mut pauses) = (outage.elapsed(), Vec::new());
    let mut known = outage.store.replaying;
    while pauses.len() < 9 {
        outage.run(Duration::from_millis(1));
        if outage.store.replaying > known {
            known = outage.store.replaying;
            pauses.push(outage.elapsed() - last);
            last = outage.elapsed();
        }
    }
    let longest = [1, 2, 4, 8, 16, 30, 30, 30, 30].map(Duration::from_secs);
    for (pause, longest) in pauses.iter().zip(longest) {
        let tick = Duration::from_millis(2);
        assert!(
            *pause + tick >= longest / 2 && *pause <= longest + tick,
            "{pauses:?}"
        );
    }
    // Not all at once.
    assert_ne!(pauses[7], pauses[8]);
}
