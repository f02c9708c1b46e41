//! The anomaly rule, case by case as the contract words it. Random histories are in `log`.

use std::num::{NonZeroU32, NonZeroU64};

use huntaze_rate_limit::quota::{AnomalyRule, Count, History, MAX_LIMIT, Millis, Rules};
use proptest::prelude::*;

use crate::random_history::{EPOCH, cases};
use crate::requests::{limit, quiet, watched, window};

/// What `count` requests at `now` report, each with the number of the request that reported it (from 1).
fn storm(history: &mut History, now: Millis, rules: Rules, n: u32, count: u32) -> Vec<(u32, u32)> {
    let mut ask = |i| Some((i, history.check(now, rules, limit(n)).count.anomaly()?));
    (1..=count).filter_map(&mut ask).collect()
}

#[test]
fn twice_the_limit_is_ordinary_and_one_more_is_not() {
    let rules = watched(3_600_000, 2.0, 300_000);
    let mut history = History::default();
    assert_eq!(storm(&mut history, EPOCH, rules, 10, 20), []);
    assert_eq!(storm(&mut history, EPOCH + 1, rules, 10, 1), [(1, 21)]);
}

#[test]
fn an_attack_is_reported_once_a_window_however_long_it_lasts() {
    let rules = watched(3_600_000, 2.0, 300_000);
    let mut history = History::default();
    assert_eq!(storm(&mut history, EPOCH, rules, 10, 1_000_000), [(21, 21)]);
    assert_eq!(storm(&mut history, EPOCH + 299_999, rules, 10, 1000), []);
    // A window after the report the count begins at nothing: at a denial, since all admissions are older.
    let end = EPOCH + 300_000;
    assert_eq!(storm(&mut history, end, rules, 10, 1000), [(21, 21)]);
}

#[test]
fn a_denial_says_how_many_more_are_ordinary_or_how_long_none_is_counted() {
    let rules = watched(3_600_000, 2.0, 300_000);
    let mut history = History::default();
    let mut ask = |now| history.check(now, rules, limit(2)).count;
    assert_eq!([ask(EPOCH), ask(EPOCH)], [Count::None; 2]);
    let more = |n| Count::Below(NonZeroU32::new(n).unwrap());
    assert_eq!([ask(EPOCH), ask(EPOCH)], [more(2), more(1)]);
    assert_eq!(ask(EPOCH + 1).anomaly(), Some(5));
    let pause = |ms| Count::Paused(NonZeroU64::new(ms).unwrap());
    assert_eq!(ask(EPOCH + 1), pause(300_000));
    assert_eq!(ask(EPOCH + 300_000), pause(1));
    assert_eq!(ask(EPOCH + 300_001), more(4));
}

#[test]
fn factors_are_rounded_down_but_not_by_binary_dust() {
    let rules = watched(3_600_000, 1.5, 300_000);
    assert_eq!(
        storm(&mut History::default(), EPOCH, rules, 5, 14),
        [(8, 8)]
    );
    let factor_one = watched(3_600_000, 1.0, 300_000);
    assert_eq!(
        storm(&mut History::default(), EPOCH, factor_one, 3, 4),
        [(4, 4)]
    );
    let rule = AnomalyRule::new(1.15, window(1), window(1)).unwrap();
    // 1.15 × 100 is 114.99999999999999 in binary.
    assert_eq!(rule.threshold(limit(100)), 115);
    let largest = AnomalyRule::new(1000.0, window(1), window(1)).unwrap();
    assert_eq!(largest.threshold(limit(MAX_LIMIT)), 1_000_000_000);
}

#[test]
fn only_requests_of_the_last_anomaly_window_count() {
    // Two a minute for an hour: ten are admitted, the rest denied.
    let rules = watched(3_600_000, 2.0, 300_000);
    let mut history = History::default();
    let mut reports = Vec::new();
    for minute in 0..60 {
        let now = EPOCH + minute * 60_000;
        reports.extend(storm(&mut history, now, rules, 10, 2));
    }
    // Ten in any five minutes: never more than twenty.
    assert_eq!(reports, []);
}

#[test]
fn a_tally_closes_one_anomaly_window_after_it_was_opened() {
    let rules = watched(3_600_000, 1.0, 300_000);
    let mut history = History::default();
    assert_eq!(storm(&mut history, EPOCH, rules, 2, 2), []);
    // The admissions have left the anomaly window; this denial opens a tally of one.
    assert_eq!(storm(&mut history, EPOCH + 300_000, rules, 2, 2), []);
    // At the very moment it closes: one again, not three.
    assert_eq!(storm(&mut history, EPOCH + 600_000, rules, 2, 2), []);
    // One millisecond before the next closes it still counts.
    assert_eq!(storm(&mut history, EPOCH + 899_999, rules, 2, 1), [(1, 3)]);
}

#[test]
fn admissions_after_a_report_are_not_counted_either() {
    let rules = watched(1000, 1.0, 1000);
    let mut history = History::default();
    assert_eq!(storm(&mut history, EPOCH, rules, 2, 3), [(3, 3)]);
    // A larger plan admits two more, and then denies.
    assert_eq!(storm(&mut history, EPOCH + 1, rules, 4, 2), []);
    assert_eq!(storm(&mut history, EPOCH + 2, rules, 3, 100), []);
}

#[test]
fn the_anomaly_window_is_cut_to_the_quotas() {
    let rule = AnomalyRule::new(2.0, window(300_000), window(1000)).unwrap();
    assert_eq!(rule.window(), window(1000));
    let rule = AnomalyRule::new(2.0, window(300_000), window(3_600_000)).unwrap();
    assert_eq!(rule.window(), window(300_000));
}

#[test]
fn a_factor_outside_its_range_is_refused_by_name() {
    for factor in [0.999, 0.0, -1.0, 1000.001, f64::NAN, f64::INFINITY] {
        let refused = AnomalyRule::new(factor, window(1), window(1)).unwrap_err();
        assert_eq!(refused.to_string(), "anomaly.factor must be 1 to 1000");
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// An id that is never denied is never reported, whatever it does.
    #[test]
    fn no_denial_no_report(steps in proptest::collection::vec(0..50_u64, 1..100)) {
        let rules = watched(1000, 1.0, 1000);
        let mut history = History::default();
        let mut now = EPOCH;
        for step in steps {
            now += step;
            let outcome = history.check(now, rules, limit(100));
            prop_assert!(outcome.decision.is_allowed());
            prop_assert_eq!(outcome.count, Count::None);
        }
    }

    /// The rule sees the decision and cannot change it.
    #[test]
    fn a_watched_id_is_decided_as_an_unwatched_one(
        steps in proptest::collection::vec(0..400_u64, 1..100), n in 1..5_u32,
    ) {
        let (mut seen, mut unseen) = (History::default(), History::default());
        let mut now = EPOCH;
        for step in steps {
            now += step;
            let watched = seen.check(now, watched(1000, 1.0, 700), limit(n));
            let quiet = unseen.check(now, quiet(1000), limit(n));
            prop_assert_eq!(watched.decision, quiet.decision);
            prop_assert_eq!(quiet.count, Count::None);
        }
    }
}
