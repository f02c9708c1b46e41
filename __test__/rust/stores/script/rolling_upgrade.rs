//! While an upgrade rolls out, processes of this version and of the one before decide on the same keys.

use std::cell::RefCell;

use huntaze_rate_limit::quota::{History, Millis};
use huntaze_rate_limit::store::Op;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Lua;
use crate::random_history::{IDS, RandomHistory, TestClock, cases, forward};

/// Every decision is that of the pure log, whichever version makes it. This version reports nothing within a window after a
/// report; the one before goes on reporting by its own rule.
#[test]
fn both_versions_decide_exactly_together() {
    let versions = RefCell::new([Lua::new(), Lua::before()]);
    let histories = (forward(), vec(0..2_usize, 1..20));
    let result = TestRunner::new(cases(200)).run(&histories, |(history, order)| {
        let mut versions = versions.borrow_mut();
        let keys = versions[0].keys("rolling");
        let RandomHistory { rules, batches } = history;
        let mut clock = TestClock::new(rules);
        let mut pure = vec![History::default(); IDS];
        let mut reported: Vec<Option<Millis>> = vec![None; IDS];
        let span = rules.anomaly.map_or(0, |rule| rule.window().ms());
        for ((step, mut asks), version) in batches.into_iter().zip(order.iter().cycle()) {
            clock.step(step);
            // The previous version replies to a count of denials in another form.
            asks.retain(|ask| *version == 0 || !matches!(ask.op, Op::CountDenials(_)));
            if asks.is_empty() {
                continue;
            }
            let now = clock.now;
            let answers = versions[*version].ask(&keys, now, rules, &asks);
            for (ask, answer) in asks.iter().zip(&answers) {
                let outcome = answer.outcome.clone().unwrap();
                let history = &mut pure[ask.who];
                let limit = ask.request().limit;
                match ask.op {
                    Op::Check | Op::Limit => {
                        let expected = history.check(now, rules, limit).decision;
                        let decision = outcome.decision;
                        prop_assert_eq!(decision.is_allowed(), expected.is_allowed());
                        prop_assert_eq!(decision.retry_after_ms(), expected.retry_after_ms());
                        if ask.op == Op::Limit {
                            prop_assert_eq!(decision, expected);
                        }
                        clock.record(expected.is_allowed(), expected.retry_after_ms());
                    }
                    Op::Status => {
                        prop_assert_eq!(outcome.decision, history.status(now, rules, limit));
                    }
                    Op::Reset => {
                        *history = History::default();
                        reported[ask.who] = None;
                    }
                    Op::CountDenials(_) => {}
                }
                if outcome.anomaly_status.anomaly().is_some() {
                    let paused = reported[ask.who].is_some_and(|at| now < at + span);
                    prop_assert!(*version == 1 || !paused, "{:?} at {}", ask, now);
                    reported[ask.who] = Some(now);
                }
            }
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
