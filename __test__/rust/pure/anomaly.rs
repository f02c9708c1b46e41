//! The anomaly rule on random histories. Its cases are beside it in `src/quota/anomaly.rs`.

use huntaze_rate_limit::quota::{AnomalyStatus, History};
use proptest::prelude::*;

use crate::random_history::{EPOCH, cases};
use crate::requests::{anomaly_rules, limit, plain_rules};

proptest! {
    #![proptest_config(cases(300))]

    /// An id that is never denied is never reported, whatever it does.
    #[test]
    fn no_denial_no_report(steps in proptest::collection::vec(0..50_u64, 1..100)) {
        let rules = anomaly_rules(1000, 1.0, 1000);
        let mut history = History::default();
        let mut now = EPOCH;
        for step in steps {
            now += step;
            let outcome = history.check(now, rules, limit(100));
            prop_assert!(outcome.decision.is_allowed());
            prop_assert_eq!(outcome.anomaly_status, AnomalyStatus::None);
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
            let watched = seen.check(now, anomaly_rules(1000, 1.0, 700), limit(n));
            let unwatched = unseen.check(now, plain_rules(1000), limit(n));
            prop_assert_eq!(watched.decision, unwatched.decision);
            prop_assert_eq!(unwatched.anomaly_status, AnomalyStatus::None);
        }
    }
}
