//! I15: the script and the pure history agree, answer by answer, on random histories.

use std::cell::RefCell;

use huntaze_rate_limit::quota::{AnomalyStatus, History, Millis, Outcome, Rules};
use huntaze_rate_limit::store::Op;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use super::{Keys, Lua};
use crate::random_history::{
    IDS, RandomHistory, RandomRequest, TestClock, cases, forward, without_expiry,
};

/// How much longer a key may live than its log, as the script promises: a quarter of the window, a minute at most.
fn slack(rules: Rules) -> Millis {
    (rules.window.ms() / 4).clamp(1, 60_000)
}

/// One id on the pure side, and the moments that bound the deadline of its key.
#[derive(Clone, Default)]
struct Twin {
    history: History,
    newest: Option<Millis>,
    last_request: Millis,
}

impl Twin {
    fn answer(&mut self, now: Millis, rules: Rules, ask: RandomRequest) -> Outcome {
        let limit = ask.request().limit;
        let mut anomaly_status = AnomalyStatus::None;
        match ask.op {
            Op::Check | Op::Limit => {
                let outcome = self.history.check(now, rules, limit);
                if outcome.decision.is_allowed() {
                    // After a step back, the newest's own moment.
                    self.newest = self.newest.max(Some(now));
                }
                self.last_request = self.last_request.max(now);
                return outcome;
            }
            Op::Status => {}
            Op::Reset => *self = Self::default(),
            Op::CountDenials(denials) => {
                anomaly_status = self.history.count_denials(now, rules, limit, denials);
                self.last_request = self.last_request.max(now);
            }
        }
        Outcome {
            anomaly_status,
            ..Outcome::of(self.history.status(now, rules, limit))
        }
    }

    /// I9: a log outlives its newest admission by a window at least, so none is lost while it counts, and by a window and
    /// the slack after the last request at most.
    fn check_deadline(
        &self,
        now: Millis,
        rules: Rules,
        deadline: Option<Millis>,
    ) -> TestCaseResult {
        let window = rules.window.ms();
        if let Some(newest) = self.newest.filter(|newest| newest + window > now) {
            let kept = deadline.unwrap_or(0);
            prop_assert!(
                kept >= newest + window,
                "gone at {kept}, newest at {newest}"
            );
        }
        if let Some(deadline) = deadline {
            let last = self.newest.unwrap_or(0).max(self.last_request);
            prop_assert!(deadline > now, "a key past its deadline");
            prop_assert!(
                deadline <= last + window + slack(rules),
                "{deadline} is too late"
            );
        }
        Ok(())
    }
}

/// The part of an outcome that can be compared: a check's `remaining` and `reset` mean nothing, nor does a count's decision.
fn shown(op: Op, outcome: Outcome) -> (bool, Millis, Option<u32>, Option<(u32, Millis)>) {
    let decision = outcome.decision;
    let status = (!matches!(op, Op::Check | Op::CountDenials(_)))
        .then_some((decision.remaining, decision.reset));
    (
        decision.is_allowed(),
        decision.retry_after_ms(),
        outcome.anomaly_status.anomaly(),
        status,
    )
}

fn agree(lua: &mut Lua, keys: &Keys, history: RandomHistory) -> TestCaseResult {
    let RandomHistory { rules, batches } = history;
    let mut clock = TestClock::new(rules);
    let mut twins = vec![Twin::default(); IDS];
    for (step, asks) in batches {
        clock.step(step);
        let now = clock.now;
        let answers = lua.ask(keys, now, rules, &asks);
        prop_assert_eq!(answers.len(), asks.len());
        for (ask, answer) in asks.iter().zip(&answers) {
            let outcome = answer.outcome.clone().unwrap();
            let expected = twins[ask.who].answer(now, rules, *ask);
            prop_assert_eq!(
                shown(ask.op, outcome),
                shown(ask.op, expected),
                "{:?} at {}",
                ask,
                now
            );
            if matches!(ask.op, Op::Check | Op::Limit) {
                // A lower bound of what the pure side counts, and never nothing.
                match (outcome.anomaly_status, expected.anomaly_status) {
                    (AnomalyStatus::Below(shown), AnomalyStatus::Below(counted)) => {
                        prop_assert!(shown <= counted)
                    }
                    (shown, counted) => prop_assert_eq!(shown, counted),
                }
                clock.record(
                    outcome.decision.is_allowed(),
                    outcome.decision.retry_after_ms(),
                );
            }
        }
        for (ask, answer) in asks.iter().zip(&answers) {
            twins[ask.who].check_deadline(now, rules, answer.deadline)?;
        }
    }
    Ok(())
}

/// Draws `count` histories and compares the script with the pure history on each.
fn over(test: &str, count: u32, histories: impl Strategy<Value = RandomHistory>) {
    let lua = RefCell::new(Lua::new());
    let result = TestRunner::new(cases(count)).run(&histories, |history| {
        let mut lua = lua.borrow_mut();
        let keys = lua.keys(test);
        agree(&mut lua, &keys, history)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn the_script_agrees_while_the_clock_goes_forward() {
    over("forward", 300, forward());
}

/// As long as nothing has expired, the two agree also on a clock that steps back.
#[test]
fn the_script_agrees_while_the_clock_steps_back_and_nothing_expires() {
    over("without-expiry", 100, without_expiry());
}
