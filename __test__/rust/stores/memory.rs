//! The embedded store against the pure history, on a clock of the test's; and its bound.

use std::collections::HashMap;
use std::sync::Arc;

use huntaze_rate_limit::quota::{
    AnomalyStatus, Decision, History, ManualClock, Millis, Outcome, Rules,
};
use huntaze_rate_limit::store::{MAX_MEMORY_IDS, MemoryStore, Op};
use proptest::prelude::*;

use crate::random_history::{EPOCH, IDS, RandomHistory, RandomRequest, TestClock, cases, forward};
use crate::requests::{anomaly_rules, plain_rules, request};

type Store = MemoryStore<Arc<ManualClock>>;

fn store(capacity: usize) -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(EPOCH));
    (MemoryStore::with_clock(Arc::clone(&clock), capacity), clock)
}

/// The pure side: histories that are never forgotten.
#[derive(Default)]
struct Pure(HashMap<usize, History>);

impl Pure {
    fn answer(&mut self, now: Millis, rules: Rules, ask: RandomRequest) -> Outcome {
        let limit = ask.request().limit;
        let history = self.0.entry(ask.who).or_default();
        let plain = |decision: Decision| Outcome {
            decision,
            anomaly_status: AnomalyStatus::None,
        };
        match ask.op {
            Op::Check | Op::Limit => history.check(now, rules, limit),
            Op::Status => plain(history.status(now, rules, limit)),
            Op::Reset => {
                *history = History::default();
                plain(history.status(now, rules, limit))
            }
            Op::CountDenials(denials) => Outcome {
                anomaly_status: history.count_denials(now, rules, limit, denials),
                ..plain(history.status(now, rules, limit))
            },
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// I15. With no more ids than it holds, only idle ids are forgotten, which changes no answer.
    #[test]
    fn the_store_agrees_with_the_pure_history(history in forward()) {
        let RandomHistory { rules, batches } = history;
        let (store, clock) = store(IDS);
        let mut test_clock = TestClock::new(rules);
        let mut pure = Pure::default();
        for (step, asks) in batches {
            test_clock.step(step);
            clock.set(test_clock.now);
            for ask in asks {
                let outcome = store.answer(rules, &ask.request());
                prop_assert_eq!(outcome, pure.answer(test_clock.now, rules, ask), "{:?}", ask);
                if matches!(ask.op, Op::Check | Op::Limit) {
                    test_clock.record(outcome.decision.is_allowed(), outcome.decision.retry_after_ms());
                }
            }
            prop_assert!(store.len() <= IDS);
        }
    }

    /// With more ids than it holds, one is evicted: of those that have used least, the least recently used. The others are
    /// decided exactly.
    #[test]
    fn the_id_that_has_used_least_is_evicted(
        asks in proptest::collection::vec((0..8_usize, 0..120_u64), 1..200), capacity in 1..5_usize,
    ) {
        let rules = anomaly_rules(3_600_000, 1.5, 3_600_000);
        let (store, clock) = store(capacity);
        let mut pure = Pure::default();
        // The ids that it holds, with their class, in the order of their last use.
        let mut held: Vec<(usize, u32)> = Vec::new();
        let mut now = EPOCH;
        for (who, step) in asks {
            now += step;
            clock.set(now);
            let ask = RandomRequest { op: Op::Limit, who, limit: 4 };
            let before = held.len();
            held.retain(|&(other, _)| other != who);
            if before == held.len() && before == capacity {
                let least = held.iter().map(|&(_, class)| class).min().unwrap();
                let at = held.iter().position(|&(_, class)| class == least).unwrap();
                pure.0.remove(&held.remove(at).0);
            }
            let outcome = store.answer(rules, &ask.request());
            prop_assert_eq!(outcome, pure.answer(now, rules, ask));
            let decision = outcome.decision;
            let class = match 4 - decision.remaining {
                _ if !decision.is_allowed() => 3,
                4 => 2,
                2.. => 1,
                _ => 0,
            };
            held.push((who, class));
            prop_assert_eq!(store.len(), held.len());
        }
    }
}

/// A denied client is not admitted again after requests under other ids.
#[test]
fn a_denied_id_outlasts_any_number_of_fresh_ones() {
    for limit in [1, 5] {
        let (store, clock) = store(100);
        let check = |who: &str| {
            let outcome = store.answer(plain_rules(1000), &request(Op::Check, who, limit));
            outcome.decision.is_allowed()
        };
        while check("denied") {}
        for i in 0..1000 {
            assert!(check(&i.to_string()));
        }
        assert!(!check("denied"));
        assert_eq!(store.len(), 100);
        // It leaves when it is idle.
        clock.advance(1000);
        for _ in 0..300 {
            store.answer(plain_rules(1000), &request(Op::Status, "none", limit));
        }
        assert!(store.is_empty());
    }
}

/// Ids that have used half of their limit fill the store: new ones are denied at theirs all the same.
#[test]
fn a_store_full_of_half_used_ids_limits_new_ones() {
    let (store, _clock) = store(800);
    let check = |who: &str| {
        let outcome = store.answer(plain_rules(1000), &request(Op::Check, who, 5));
        outcome.decision.is_allowed()
    };
    for i in 0..800 {
        (0..3).for_each(|_| assert!(check(&i.to_string())));
    }
    let admitted = (0..100).filter(|_| [check("a"), check("b")] == [true, true]);
    assert_eq!(admitted.count(), 5);
}

fn remaining(store: &Store, who: &str) -> u32 {
    let status = store.answer(plain_rules(1000), &request(Op::Status, who, 5));
    status.decision.remaining
}

#[test]
fn of_ids_with_equal_use_the_least_recently_used_is_evicted() {
    let (store, _clock) = store(2);
    for who in ["a", "b", "a", "c"] {
        store.answer(plain_rules(1000), &request(Op::Check, who, 5));
    }
    let remaining = ["a", "b", "c"].map(|who| remaining(&store, who));
    assert_eq!((store.len(), remaining), (2, [3, 5, 4]));
}

#[test]
fn idle_ids_leave_faster_than_they_come() {
    let (store, clock) = store(1000);
    for i in 0..100 {
        store.answer(plain_rules(1000), &request(Op::Check, &i.to_string(), 5));
    }
    assert_eq!(store.len(), 100);
    clock.advance(999);
    store.answer(plain_rules(1000), &request(Op::Status, "none", 5));
    assert_eq!(store.len(), 100);
    // Each request, of any kind, frees two.
    clock.advance(1);
    for asked in 1..=50 {
        store.answer(plain_rules(1000), &request(Op::Status, "none", 5));
        assert_eq!(store.len(), 100 - 2 * asked);
    }
}

/// An id whose log has drained is kept as long as its tally may still report.
#[test]
fn a_tally_keeps_an_id() {
    let rules = anomaly_rules(1000, 1.0, 1000);
    let (store, clock) = store(10);
    store.answer(rules, &request(Op::Check, "a", 1));
    clock.advance(900);
    store.answer(rules, &request(Op::Check, "a", 1));
    clock.advance(999);
    store.answer(rules, &request(Op::Status, "none", 1));
    assert_eq!(store.len(), 1);
    clock.advance(1);
    store.answer(rules, &request(Op::Status, "none", 1));
    assert!(store.is_empty());
}

#[test]
fn status_and_reset_make_no_history() {
    let (store, _clock) = store(10);
    store.answer(plain_rules(1000), &request(Op::Status, "a", 5));
    store.answer(plain_rules(1000), &request(Op::Reset, "b", 5));
    assert!(store.is_empty());
}

#[test]
fn clear_forgets_every_id() {
    let (store, _clock) = store(10);
    store.answer(plain_rules(1000), &request(Op::Check, "a", 5));
    store.clear();
    assert_eq!((store.len(), remaining(&store, "a")), (0, 5));
}

/// A store of capacity 0 would admit without end: each request would find an empty log.
#[test]
fn the_capacity_is_one_id_at_least() {
    let (store, _clock) = store(0);
    let check = || {
        store
            .answer(plain_rules(1000), &request(Op::Check, "a", 1))
            .decision
            .is_allowed()
    };
    assert_eq!((check(), check()), (true, false));
    assert_eq!(MAX_MEMORY_IDS, 100_000);
}
