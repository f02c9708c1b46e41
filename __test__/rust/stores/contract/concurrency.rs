//! The contract suite: many tasks at once.

use std::sync::Arc;

use huntaze_rate_limit::quota::Rules;
use huntaze_rate_limit::store::{Op, Request, Scope};

use crate::store::Store;
use tokio::task::JoinSet;

use super::fixture::{Fixture, over_every_store};
use crate::requests::{anomaly_rules, plain_rules, request};

over_every_store!(
    a_crowd_is_admitted_exactly_to_the_limit,
    a_crowd_in_batches_is_admitted_exactly_to_the_limit,
    a_crowd_is_reported_once,
);

const HOUR: u64 = 3_600_000;
const TASKS: usize = 64;

/// Many tasks send the same requests `batches` times each. How many were allowed, and the anomalies reported.
async fn crowd<S: Store>(
    fixture: &Fixture<S>,
    rules: Rules,
    requests: Vec<Request>,
    batches: usize,
) -> (usize, Vec<u32>) {
    let (scope, requests): (Arc<Scope>, Arc<[Request]>) =
        (Arc::new(fixture.scope(rules)), requests.into());
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, scope, requests) = (
            Arc::clone(&fixture.store),
            Arc::clone(&scope),
            Arc::clone(&requests),
        );
        tasks.spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..batches {
                outcomes.extend(store.run(&scope, &requests).await);
            }
            outcomes
        });
    }
    let outcomes: Vec<_> = tasks
        .join_all()
        .await
        .into_iter()
        .flatten()
        .map(Result::unwrap)
        .collect();
    let allowed = outcomes.iter().filter(|o| o.decision.is_allowed()).count();
    (
        allowed,
        outcomes
            .iter()
            .filter_map(|o| o.anomaly_status.anomaly())
            .collect(),
    )
}

async fn a_crowd_is_admitted_exactly_to_the_limit<S: Store>(fixture: Fixture<S>) {
    for n in [1, 100] {
        let who = n.to_string();
        let one = vec![request(Op::Check, &who, n)];
        let (allowed, _) = crowd(&fixture, plain_rules(HOUR), one, 10).await;
        assert_eq!(allowed, n as usize);
        assert_eq!(
            fixture
                .ask(plain_rules(HOUR), Op::Status, &who, n)
                .await
                .decision
                .remaining,
            0
        );
    }
}

async fn a_crowd_in_batches_is_admitted_exactly_to_the_limit<S: Store>(fixture: Fixture<S>) {
    let mut requests = vec![request(Op::Check, "a", 500); 10];
    requests.push(request(Op::Limit, "a", 500));
    requests.push(request(Op::Status, "a", 500));
    let (allowed, _) = crowd(&fixture, plain_rules(HOUR), requests, 4).await;
    // A status always reads as allowed: one a batch.
    assert_eq!(allowed - TASKS * 4, 500);
    assert_eq!(
        fixture
            .ask(plain_rules(HOUR), Op::Status, "a", 500)
            .await
            .decision
            .remaining,
        0
    );
}

/// I19: 640 requests at a limit of 100 are one anomaly: the 201st.
async fn a_crowd_is_reported_once<S: Store>(fixture: Fixture<S>) {
    let rules = anomaly_rules(HOUR, 2.0, 300_000);
    let (allowed, reported) = crowd(&fixture, rules, vec![request(Op::Check, "a", 100)], 10).await;
    assert_eq!((allowed, reported), (100, vec![201]));
}
