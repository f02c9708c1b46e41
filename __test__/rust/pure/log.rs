//! The pure history and its log against the naive reference, answer by answer, on random histories.

use huntaze_rate_limit::quota::{AnomalyStatus, Decision, History, Log, Outcome, Quota};
use huntaze_rate_limit::store::Op;
use proptest::prelude::*;

use super::naive::{Expected, Naive};
use crate::random_history::{IDS, RandomHistory, TestClock, cases, forward};

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn history_answers_as_the_reference(random in forward()) {
        let RandomHistory { rules, batches } = random;
        let mut clock = TestClock::new(rules);
        let mut histories = vec![History::default(); IDS];
        let mut references = vec![Naive::default(); IDS];
        for (step, asks) in batches {
            clock.step(step);
            for ask in asks {
                let limit = ask.request().limit;
                let history = &mut histories[ask.who];
                let outcome = match ask.op {
                    Op::Check | Op::Limit => history.check(clock.now, rules, limit),
                    Op::Status => plain(history.status(clock.now, rules, limit)),
                    Op::Reset => {
                        *history = History::default();
                        plain(history.status(clock.now, rules, limit))
                    }
                    Op::CountDenials(denials) => Outcome {
                        anomaly_status: history.count_denials(clock.now, rules, limit, denials),
                        ..plain(history.status(clock.now, rules, limit))
                    },
                };
                let expected = references[ask.who].answer(clock.now, rules, ask.op, limit);
                prop_assert_eq!(observed(ask.op, outcome), expected);
                if expected.allowed.is_some() {
                    clock.record(outcome.decision.is_allowed(), outcome.decision.retry_after_ms());
                }
            }
        }
    }

    /// The log alone, without a history around it.
    #[test]
    fn log_answers_as_the_reference(random in forward()) {
        let RandomHistory { mut rules, batches } = random;
        rules.anomaly = None;
        let mut clock = TestClock::new(rules);
        let (mut log, mut reference) = (Log::default(), Naive::default());
        for (step, asks) in batches {
            clock.step(step);
            for ask in asks {
                let limit = ask.request().limit;
                let quota = Quota { limit, window: rules.window };
                // I7: the status shows what is counted, before the request and after it.
                let shown = log.status(clock.now, quota);
                let counted = reference.counted(clock.now, rules.window.ms()) as u32;
                prop_assert_eq!(shown.remaining, limit.get().saturating_sub(counted));
                prop_assert!(shown.remaining <= limit.get());
                let decision = log.check(clock.now, quota);
                let expected = reference.answer(clock.now, rules, Op::Limit, limit);
                prop_assert_eq!(observed(Op::Limit, plain(decision)), expected);
                clock.record(decision.is_allowed(), decision.retry_after_ms());
            }
        }
    }
}

/// An outcome in the form of the reference.
pub fn observed(op: Op, outcome: Outcome) -> Expected {
    let decision = outcome.decision;
    let takes_a_slot = matches!(op, Op::Check | Op::Limit);
    Expected {
        allowed: takes_a_slot.then_some(decision.is_allowed()),
        retry_after: decision.retry_after_ms(),
        remaining: decision.remaining,
        reset: decision.reset,
        anomaly: outcome.anomaly_status.anomaly(),
    }
}

fn plain(decision: Decision) -> Outcome {
    Outcome {
        decision,
        anomaly_status: AnomalyStatus::None,
    }
}
