//! The contract suite: anomalies.

use std::time::Duration;

use huntaze_rate_limit::quota::AnomalyStatus;
use huntaze_rate_limit::store::Op;

use crate::store::Store;

use super::fixture::{Fixture, over_every_store};
use crate::requests::{anomaly_rules, plain_rules, request};

over_every_store!(
    an_attack_is_reported_once,
    a_pause_ends_with_its_window,
    a_reset_ends_the_pause,
    a_status_is_no_request,
    a_reset_forgets_the_tally,
    nothing_is_reported_without_a_rule,
);

const HOUR: u64 = 3_600_000;

async fn an_attack_is_reported_once<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 300_000);
    let mut reports = Vec::new();
    for i in 1..=33 {
        // Both operations count.
        let op = if i % 2 == 0 { Op::Check } else { Op::Limit };
        let outcome = fixture.ask(rules, op, "a", 5).await;
        assert_eq!(outcome.decision.is_allowed(), i <= 5);
        reports.extend(
            outcome
                .anomaly_status
                .anomaly()
                .map(|requests| (i, requests)),
        );
    }
    assert_eq!(reports, [(11, 11)]);
}

async fn a_pause_ends_with_its_window<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 150);
    let storm = vec![request(Op::Check, "a", 5); 30];
    let count = async || {
        let outcomes = fixture.batch(rules, &storm).await;
        outcomes
            .iter()
            .filter_map(|o| o.anomaly_status.anomaly())
            .count()
    };
    assert_eq!(count().await, 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(count().await, 1);
}

async fn a_reset_ends_the_pause<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 300_000);
    for _ in 0..2 {
        let storm = vec![request(Op::Check, "a", 5); 30];
        let outcomes = fixture.batch(rules, &storm).await;
        let reports: Vec<_> = outcomes
            .iter()
            .filter_map(|o| o.anomaly_status.anomaly())
            .collect();
        assert_eq!(reports, [11]);
        fixture.ask(rules, Op::Reset, "a", 5).await;
    }
}

async fn a_status_is_no_request<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 300_000);
    let mut requests = vec![request(Op::Check, "a", 5); 10];
    requests.extend(vec![request(Op::Status, "a", 5); 10]);
    requests.push(request(Op::Check, "a", 5));
    let outcomes = fixture.batch(rules, &requests).await;
    let reports: Vec<_> = outcomes
        .iter()
        .map(|o| o.anomaly_status.anomaly())
        .collect();
    assert_eq!(reports[..20], [None; 20]);
    assert_eq!(reports[20], Some(11));
}

async fn a_reset_forgets_the_tally<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 300_000);
    for round in 0..3 {
        for _ in 0..10 {
            assert_eq!(
                fixture
                    .ask(rules, Op::Check, "a", 5)
                    .await
                    .anomaly_status
                    .anomaly(),
                None,
                "round {round}"
            );
        }
        fixture.ask(rules, Op::Reset, "a", 5).await;
    }
}

async fn nothing_is_reported_without_a_rule<S: Store>(fixture: Fixture<S>) {
    for outcome in fixture
        .batch(plain_rules(HOUR), &vec![request(Op::Check, "a", 1); 50])
        .await
    {
        assert_eq!(outcome.anomaly_status, AnomalyStatus::None);
    }
}
