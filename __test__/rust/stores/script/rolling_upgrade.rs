//! While an upgrade rolls out, processes of this version and of the one before decide on the same keys.

use std::cell::RefCell;

use huntaze_rate_limit::quota::{History, Millis};
use huntaze_rate_limit::store::Op;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Lua;
use crate::random_history::{Hands, IDS, Scenario, cases, forward};

/// Every decision is that of the pure log, whoever asks. This version reports nothing within a window after a report; the
/// one before goes on reporting by its own rule.
#[test]
fn both_versions_decide_exactly_together() {
    let versions = RefCell::new([Lua::new(), Lua::before()]);
    let histories = (forward(), vec(0..2_usize, 1..20));
    let result = TestRunner::new(cases(200)).run(&histories, |(scenario, turns)| {
        let mut versions = versions.borrow_mut();
        let keys = versions[0].keys("rolling");
        let Scenario { rules, batches } = scenario;
        let mut hands = Hands::new(rules);
        let mut pure = vec![History::default(); IDS];
        let mut reported: Vec<Option<Millis>> = vec![None; IDS];
        let span = rules.anomaly.map_or(0, |rule| rule.window().ms());
        for ((step, mut asks), turn) in batches.into_iter().zip(turns.iter().cycle()) {
            hands.obey(step);
            // The reply to a count of denials is of another form there.
            asks.retain(|ask| *turn == 0 || !matches!(ask.op, Op::Denied(_)));
            if asks.is_empty() {
                continue;
            }
            let now = hands.now;
            let answers = versions[*turn].ask(&keys, now, rules, &asks);
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
                        hands.note(expected.is_allowed(), expected.retry_after_ms());
                    }
                    Op::Status => {
                        prop_assert_eq!(outcome.decision, history.status(now, rules, limit));
                    }
                    Op::Reset => {
                        *history = History::default();
                        reported[ask.who] = None;
                    }
                    Op::Denied(_) => {}
                }
                if outcome.count.anomaly().is_some() {
                    let paused = reported[ask.who].is_some_and(|at| now < at + span);
                    prop_assert!(*turn == 1 || !paused, "{:?} at {}", ask, now);
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
