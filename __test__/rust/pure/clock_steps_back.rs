//! I12: a clock that steps back makes a log stricter, never looser.
//!
//! A step back takes no true time, a step forward at least as much as it shows: then every window of true time holds at
//! most the limit, though the clock showed some moments twice. (A clock that first jumps ahead for no reason frees slots
//! early, and no store can know.)

use huntaze_rate_limit::quota::{History, Log, Quota};
use proptest::prelude::*;

use crate::random_history::{EPOCH, TestClock, cases, with_steps_back};
use crate::requests::{limit, plain_rules, window};

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn no_window_of_true_time_holds_more_than_the_limit(random in with_steps_back()) {
        let mut clock = TestClock::new(random.rules);
        let span = random.rules.window.ms();
        let mut history = History::default();
        let mut admitted = Vec::new();
        for (step, asks) in random.batches {
            clock.step(step);
            for ask in asks {
                let decision = history.check(clock.now, random.rules, limit(ask.limit)).decision;
                clock.record(decision.is_allowed(), decision.retry_after_ms());
                if decision.is_allowed() {
                    admitted.push(clock.true_now);
                    let counted = admitted.iter().filter(|&&t| t + span > clock.true_now).count();
                    prop_assert!(counted <= ask.limit as usize, "{counted} under a limit of {}", ask.limit);
                }
                // The promise holds also after a step back: a lone caller is admitted at that moment, and not before.
                let mut alone = history.clone();
                let retry = decision.retry_after_ms();
                if retry > 0 {
                    let early = alone.check(clock.now + retry - 1, random.rules, limit(ask.limit));
                    prop_assert!(!early.decision.is_allowed());
                    let due = alone.check(clock.now + retry, random.rules, limit(ask.limit));
                    prop_assert!(due.decision.is_allowed());
                }
            }
        }
    }
}

#[test]
fn an_admission_after_a_step_back_counts_from_the_newest_before_it() {
    let quota = Quota {
        limit: limit(2),
        window: window(1000),
    };
    let mut log = Log::default();
    assert!(log.check(EPOCH, quota).is_allowed());
    let after_step = log.check(EPOCH - 400, quota);
    assert!(after_step.is_allowed());
    assert_eq!(after_step.reset, EPOCH + 1000);
    // Both leave together: 400 ms later than the clock alone would say.
    assert_eq!(log.check(EPOCH - 400, quota).retry_after_ms(), 1400);
    assert_eq!(log.check(EPOCH + 999, quota).retry_after_ms(), 1);
    assert!(log.check(EPOCH + 1000, quota).is_allowed());
}

#[test]
fn a_clock_near_its_beginning_does_not_underflow() {
    let rules = plain_rules(1000);
    let mut history = History::default();
    assert!(history.check(0, rules, limit(1)).decision.is_allowed());
    assert_eq!(
        history.check(0, rules, limit(1)).decision.retry_after_ms(),
        1000
    );
    assert!(history.is_idle(1000, rules) && !history.is_idle(999, rules));
}
