//! The fallback: the policy that decides when the store did not.

use std::num::{NonZeroU32, NonZeroU64};

use huntaze_rate_limit::limiter::{Answer, Fallback, Local, OnStoreError, Source};
use huntaze_rate_limit::quota::{AnomalyStatus, Outcome};
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use super::simulation::hour;
use crate::requests::{anomaly_rules, request};

fn fallback(policy: OnStoreError) -> Fallback {
    Fallback::new(policy, hour(), Local::default())
}

fn away() -> StoreError {
    StoreError::new(ErrorKind::Refused, "away")
}

/// The answer under `policy` to one request of a fresh id at a limit of 3.
fn answer(policy: OnStoreError, op: Op) -> Result<Answer, StoreError> {
    fallback(policy).answer(0, &request(op, "a", 3), away())
}

#[test]
fn local_decides_exactly_and_says_so() {
    let fallback = fallback(OnStoreError::Local);
    let ask = |op, who| {
        let answer = fallback.answer(0, &request(op, who, 3), away()).unwrap();
        assert_eq!(answer.source, Source::Local);
        (
            answer.outcome.decision.is_allowed(),
            answer.outcome.decision.remaining,
        )
    };
    let checks = [Op::Limit; 4].map(|op| ask(op, "a"));
    assert_eq!(checks, [(true, 2), (true, 1), (true, 0), (false, 0)]);
    assert_eq!((ask(Op::Status, "a").1, ask(Op::Status, "b").1), (0, 3));
    assert_eq!((ask(Op::Reset, "a").1, ask(Op::Limit, "a")), (3, (true, 2)));
}

/// The store has reported an anomaly, or a pause after one that another process has reported.
#[test]
fn an_anomaly_reported_by_the_store_is_not_reported_locally() {
    let rules = anomaly_rules(3_600_000, 1.0, 300_000);
    let pause = NonZeroU64::new(60_000).unwrap();
    let statuses = [
        (AnomalyStatus::None, 1),
        (AnomalyStatus::Below(NonZeroU32::MIN), 1),
        (AnomalyStatus::Anomaly(NonZeroU32::new(4).unwrap()), 0),
        (AnomalyStatus::Paused(pause), 0),
    ];
    for (anomaly_status, due) in statuses {
        // With a local log by then, and without.
        for before in [0, 2] {
            let fallback = Fallback::new(OnStoreError::Local, rules, Local::default());
            let request = request(Op::Check, "a", 3);
            let ask = || fallback.answer(0, &request, away()).unwrap().outcome;
            for _ in 0..before {
                ask();
            }
            let decision = ask().decision;
            fallback.on_decision(
                &request,
                &Outcome {
                    decision,
                    anomaly_status,
                },
            );
            let reported = (0..50).filter(|_| ask().anomaly_status.anomaly().is_some());
            assert_eq!(reported.count(), due, "{anomaly_status:?} after {before}");
        }
    }
}

#[test]
fn open_admits_and_closed_denies_with_nothing_recorded() {
    for op in [Op::Check, Op::Limit, Op::Status] {
        let open = answer(OnStoreError::Open, op).unwrap();
        let decision = open.outcome.decision;
        assert_eq!(
            (open.source, decision.is_allowed(), decision.remaining),
            (Source::Open, true, 3)
        );
        let closed = answer(OnStoreError::Closed, op).unwrap();
        let decision = closed.outcome.decision;
        assert_eq!(
            (closed.source, decision.is_allowed(), decision.remaining),
            (Source::Closed, false, 0)
        );
        // The smallest Retry-After there is.
        assert_eq!(decision.retry_after_ms(), 1000);
        assert_eq!(
            (open.outcome.anomaly_status, closed.outcome.anomaly_status),
            (AnomalyStatus::None, AnomalyStatus::None)
        );
    }
    let fallback = fallback(OnStoreError::Open);
    for _ in 0..10 {
        let answer = fallback
            .answer(0, &request(Op::Limit, "a", 3), away())
            .unwrap();
        assert_eq!(answer.outcome.decision.remaining, 3);
    }
}

#[test]
fn throw_hands_the_error_on() {
    for op in [Op::Check, Op::Limit, Op::Status, Op::Reset] {
        let error = answer(OnStoreError::Throw, op).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Refused, "away")
        );
    }
}

/// Nothing was reset, and the caller must not believe it was.
#[test]
fn a_reset_without_a_log_fails() {
    for policy in [OnStoreError::Open, OnStoreError::Closed] {
        assert_eq!(
            answer(policy, Op::Reset).unwrap_err().kind(),
            ErrorKind::Refused
        );
    }
}

/// JavaScript knows policies and sources by their index in these lists.
#[test]
fn names_are_those_of_the_public_api() {
    let policies = OnStoreError::ALL.map(OnStoreError::name);
    assert_eq!(policies, ["local", "open", "closed", "throw"]);
    let sources = Source::ALL.map(Source::name);
    assert_eq!(
        sources,
        ["redis", "memory", "deny-cache", "local", "open", "closed"]
    );
}
