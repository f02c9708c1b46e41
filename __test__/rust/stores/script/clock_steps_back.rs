//! I12 for the script: on a clock that steps back it is stricter, never looser.
//!
//! The script prunes only when it has to, the pure log at each request. After a step back this shows: what had expired
//! and is still there counts again. So an answer has to lie between two counts, over the script's own admissions: those
//! that were never seen expired, and all. Where the clock has not stepped back the two are one number.

use std::cell::RefCell;

use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::Op;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};

use super::{Keys, Lua};
use crate::random_history::{IDS, RandomHistory, RandomRequest, TestClock, cases, with_steps_back};

/// One admission of the script's.
#[derive(Clone)]
struct Admission {
    stamp: Millis,
    true_time: Millis,
    seen_expired: bool,
}

#[derive(Clone, Default)]
struct Admissions(Vec<Admission>);

impl Admissions {
    /// Marks the admissions that have expired by now.
    fn expire(&mut self, now: Millis, window: Millis) {
        for admission in &mut self.0 {
            admission.seen_expired |= admission.stamp + window <= now;
        }
    }

    /// The fewest and the most that may count.
    fn counts(&self, now: Millis, window: Millis) -> (usize, usize) {
        let live = || self.0.iter().filter(|a| a.stamp + window > now);
        (live().filter(|a| !a.seen_expired).count(), live().count())
    }

    fn admit(&mut self, clock: &TestClock, reset: Millis, window: Millis) {
        self.0.push(Admission {
            // From the script's answer: `reset` is the end of the newest admission.
            stamp: reset - window,
            true_time: clock.true_now,
            seen_expired: false,
        });
    }

    fn check(
        &mut self,
        ask: RandomRequest,
        outcome: Outcome,
        clock: &TestClock,
        window: Millis,
    ) -> TestCaseResult {
        let now = clock.now;
        let limit = ask.limit as usize;
        let (least, most) = self.counts(now, window);
        let decision = outcome.decision;
        match ask.op {
            Op::Reset => self.0.clear(),
            Op::CountDenials(_) => {}
            Op::Status => {
                let between = limit.saturating_sub(most)..=limit.saturating_sub(least);
                prop_assert!(between.contains(&(decision.remaining as usize)));
            }
            Op::Check | Op::Limit if decision.is_allowed() => {
                prop_assert!(least < limit, "admitted beyond {least} of {limit}");
                let in_true_time = |a: &&Admission| a.true_time + window > clock.true_now;
                let counted = self.0.iter().filter(in_true_time).count();
                prop_assert!(counted < limit, "looser: {counted} of {limit} in true time");
                self.admit(clock, decision.reset, window);
                // The list stays sorted, and no stamp is earlier than the clock.
                let last = self.0.last().map_or(0, |a| a.stamp);
                prop_assert!(
                    last >= now && self.0.iter().all(|a| a.stamp <= last || a.seen_expired)
                );
            }
            Op::Check | Op::Limit => prop_assert!(most >= limit, "denied at {most} of {limit}"),
        }
        Ok(())
    }
}

fn stays_strict(lua: &mut Lua, keys: &Keys, history: RandomHistory) -> TestCaseResult {
    let RandomHistory { rules, batches } = history;
    let window = rules.window.ms();
    let mut clock = TestClock::new(rules);
    let mut ids = vec![Admissions::default(); IDS];
    for (step, asks) in batches {
        clock.step(step);
        for id in &mut ids {
            id.expire(clock.now, window);
        }
        let answers = lua.ask(keys, clock.now, rules, &asks);
        for (ask, answer) in asks.iter().zip(&answers) {
            let outcome = answer.outcome.clone().unwrap();
            ids[ask.who].check(*ask, outcome, &clock, window)?;
            if matches!(ask.op, Op::Check | Op::Limit) {
                clock.record(
                    outcome.decision.is_allowed(),
                    outcome.decision.retry_after_ms(),
                );
            }
        }
        // Admissions that certainly still count are still there.
        for (ask, answer) in asks.iter().zip(&answers) {
            let sure = ids[ask.who]
                .0
                .iter()
                .filter(|a| !a.seen_expired)
                .map(|a| a.stamp);
            if let Some(newest) = sure.max() {
                prop_assert!(answer.deadline.unwrap_or(0) >= newest + window);
            }
        }
    }
    Ok(())
}

#[test]
fn the_script_is_never_looser_when_the_clock_steps_back() {
    let lua = RefCell::new(Lua::new());
    let result = TestRunner::new(cases(250)).run(&with_steps_back(), |history| {
        let mut lua = lua.borrow_mut();
        let keys = lua.keys("steps-back");
        stays_strict(&mut lua, &keys, history)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
