//! The invariants of the log, each stated by itself on random histories. The numbers are those of the proof.

use huntaze_rate_limit::quota::{History, Millis, Rules};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::random_history::{EPOCH, RandomHistory, TestClock, cases, forward};
use crate::requests::{anomaly_rules, limit, plain_rules};

/// One admission: when, and under which limit.
type Admission = (Millis, u32);

/// I1: at each admission, the window that ends there holds at most as many as the limit it was made under. For one
/// limit throughout this is the claim itself: a window that holds more would hold them at its last admission already.
fn replay(admissions: &[Admission], window: Millis) -> Result<(), Admission> {
    let mut first = 0;
    for (i, &(at, limit)) in admissions.iter().enumerate() {
        while admissions[first].0 + window <= at {
            first += 1;
        }
        if i - first + 1 > limit as usize {
            return Err((at, limit));
        }
    }
    Ok(())
}

/// Runs a random history, all of it on one id, and returns its admissions.
fn admissions(random: &RandomHistory) -> Vec<Admission> {
    let mut clock = TestClock::new(random.rules);
    let mut history = History::default();
    let mut admitted = Vec::new();
    for (step, asks) in &random.batches {
        clock.step(*step);
        for ask in asks {
            let decision = history
                .check(clock.now, random.rules, limit(ask.limit))
                .decision;
            clock.record(decision.is_allowed(), decision.retry_after_ms());
            if decision.is_allowed() {
                admitted.push((clock.now, ask.limit));
            }
        }
    }
    admitted
}

/// A history after requests at these steps of time, and the moment of the last.
fn used(rules: Rules, steps: &[Millis], n: u32) -> (History, Millis) {
    let mut history = History::default();
    let mut now = EPOCH;
    for step in steps {
        now += step;
        history.check(now, rules, limit(n));
    }
    (history, now)
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn i1_no_window_holds_more_than_its_limit(random in forward()) {
        prop_assert_eq!(replay(&admissions(&random), random.rules.window.ms()), Ok(()));
    }

    #[test]
    fn i3_a_denial_changes_nothing_but_the_tally(
        steps in vec(0..400_u64, 1..40), n in 1..6_u32, denials in 1..20_u32,
    ) {
        let rules = anomaly_rules(1000, 2.0, 1000);
        let (mut denied, now) = used(rules, &steps, n);
        while denied.check(now, rules, limit(n)).decision.is_allowed() {}
        let mut untouched = denied.clone();
        for _ in 0..denials {
            prop_assert!(!denied.check(now, rules, limit(n)).decision.is_allowed());
        }
        // Without the rule there is no tally to differ in: both answer later requests alike.
        let without_rule = plain_rules(1000);
        for later in (0..1200).step_by(37) {
            let (a, b) = (
                denied.check(now + later, without_rule, limit(n)).decision,
                untouched.check(now + later, without_rule, limit(n)).decision,
            );
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn i3_a_denial_without_a_rule_changes_nothing_at_all(steps in vec(0..400_u64, 1..40), n in 1..6_u32) {
        let (mut history, now) = used(plain_rules(1000), &steps, n);
        while history.check(now, plain_rules(1000), limit(n)).decision.is_allowed() {}
        let before = history.clone();
        history.check(now, plain_rules(1000), limit(n));
        prop_assert_eq!(history, before);
    }

    #[test]
    fn i5_an_empty_window_admits(steps in vec(0..400_u64, 1..40), n in 1..6_u32, later in 1000..5000_u64) {
        let (mut history, now) = used(plain_rules(1000), &steps, n);
        prop_assert!(history.check(now + later, plain_rules(1000), limit(n)).decision.is_allowed());
    }

    #[test]
    fn i6_denied_one_millisecond_early_and_admitted_on_the_dot(
        steps in vec(0..400_u64, 1..40), n in 1..6_u32, smaller in 1..6_u32,
    ) {
        let (mut history, now) = used(plain_rules(1000), &steps, n);
        while history.check(now, plain_rules(1000), limit(n)).decision.is_allowed() {}
        // Also after a move to a smaller plan.
        let asked = limit(smaller.min(n));
        let retry = history.check(now, plain_rules(1000), asked).decision.retry_after_ms();
        prop_assert!(retry > 0);
        let early = history.check(now + retry - 1, plain_rules(1000), asked).decision;
        prop_assert!(!early.is_allowed());
        prop_assert_eq!(early.retry_after_ms(), 1);
        prop_assert!(history.check(now + retry, plain_rules(1000), asked).decision.is_allowed());
    }

    #[test]
    fn i8_a_change_of_plan_keeps_the_history(count in 1..12_u32, larger in 1..12_u32, smaller in 1..12_u32) {
        let rules = plain_rules(1000);
        let (mut history, now) = used(rules, &vec![0; count as usize], count);
        let up = limit(count + larger);
        prop_assert_eq!(history.status(now, rules, up).remaining, larger);
        let down = limit(smaller.min(count));
        prop_assert_eq!(history.status(now, rules, down).remaining, 0);
        prop_assert!(!history.check(now, rules, down).decision.is_allowed());
        prop_assert_eq!(history.check(now, rules, up).decision.remaining, larger - 1);
    }

    #[test]
    fn i22_a_promised_moment_never_moves_earlier(steps in vec(0..300_u64, 1..80), n in 1..6_u32) {
        let mut history = History::default();
        let (mut now, mut promised) = (EPOCH, 0);
        for step in steps {
            now += step;
            let decision = history.check(now, plain_rules(1000), limit(n)).decision;
            if !decision.is_allowed() {
                let moment = now + decision.retry_after_ms();
                prop_assert!(moment >= promised, "promised {promised}, then {moment}");
                promised = moment;
            }
        }
    }
}

#[test]
fn i2_an_admission_is_free_again_exactly_a_window_later() {
    for window in [1, 2, 1000, 31 * 24 * 3_600_000] {
        let (mut history, now) = used(plain_rules(window), &[0], 1);
        let before = history
            .check(now + window - 1, plain_rules(window), limit(1))
            .decision;
        assert!(!before.is_allowed(), "window {window}");
        let after = history
            .check(now + window, plain_rules(window), limit(1))
            .decision;
        assert!(after.is_allowed(), "window {window}");
    }
}

/// The control: a replay that accepts a fixed window would check nothing.
#[test]
fn the_replay_catches_a_fixed_window() {
    let fixed: Vec<Admission> = [900, 950, 990, 1000, 1010, 1020].map(|t| (t, 3)).to_vec();
    assert_eq!(replay(&fixed, 1000), Err((1000, 3)));
    let sliding: Vec<Admission> = [900, 950, 990, 1900, 1950, 1990].map(|t| (t, 3)).to_vec();
    assert_eq!(replay(&sliding, 1000), Ok(()));
}

/// A large log that drains gives its memory back, and still counts right.
#[test]
fn a_large_log_drains_and_counts_on() {
    let (mut history, now) = used(plain_rules(1000), &vec![1; 900], 900);
    assert_eq!(
        history.status(now, plain_rules(1000), limit(900)).remaining,
        0
    );
    // The last admission was made at `now`: by then all others have left.
    let decision = history
        .check(now + 999, plain_rules(1000), limit(900))
        .decision;
    assert_eq!(decision.remaining, 898);
    assert_eq!(decision.reset, now + 1999);
}
