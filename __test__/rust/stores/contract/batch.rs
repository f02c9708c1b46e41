//! The contract suite: several requests in one batch.

use huntaze_rate_limit::store::Op;

use crate::store::Store;

use super::fixture::{Fixture, over_every_store};
use crate::requests::{plain_rules, request};

over_every_store!(
    answers_a_batch_in_its_order,
    one_id_several_times_in_a_batch,
    different_ids_never_share,
    an_empty_batch_has_no_answers,
);

const HOUR: u64 = 3_600_000;

async fn answers_a_batch_in_its_order<S: Store>(fixture: Fixture<S>) {
    // Each id has its own limit, so that an answer at the wrong index shows.
    let requests: Vec<_> = (1..=64)
        .map(|n| request(Op::Limit, &n.to_string(), n))
        .collect();
    for round in 1..=3 {
        let outcomes = fixture.batch(plain_rules(HOUR), &requests).await;
        for (n, outcome) in (1..=64_u32).zip(outcomes) {
            assert_eq!(
                outcome.decision.is_allowed(),
                round <= n,
                "id {n}, round {round}"
            );
            assert_eq!(
                outcome.decision.remaining,
                n.saturating_sub(round),
                "id {n}, round {round}"
            );
        }
    }
}

async fn one_id_several_times_in_a_batch<S: Store>(fixture: Fixture<S>) {
    let requests = [
        request(Op::Status, "a", 2),
        request(Op::Limit, "a", 2),
        request(Op::Limit, "b", 1),
        request(Op::Check, "a", 2),
        request(Op::Limit, "a", 2),
        request(Op::Status, "a", 5),
        request(Op::Reset, "a", 2),
        request(Op::Limit, "a", 2),
        request(Op::Check, "b", 1),
    ];
    let outcomes = fixture.batch(plain_rules(HOUR), &requests).await;
    let seen: Vec<_> = requests
        .iter()
        .zip(outcomes)
        .map(|(request, outcome)| match request.op {
            // A check's `remaining` and a status's verdict mean nothing.
            Op::Check => (Some(outcome.decision.is_allowed()), None),
            Op::Limit => (
                Some(outcome.decision.is_allowed()),
                Some(outcome.decision.remaining),
            ),
            Op::Status | Op::Reset | Op::CountDenials(_) => {
                (None, Some(outcome.decision.remaining))
            }
        })
        .collect();
    let expected = [
        (None, Some(2)),
        (Some(true), Some(1)),
        (Some(true), Some(0)),
        (Some(true), None),
        (Some(false), Some(0)),
        (None, Some(3)),
        (None, Some(2)),
        (Some(true), Some(1)),
        (Some(false), None),
    ];
    assert_eq!(seen, expected);
}

async fn different_ids_never_share<S: Store>(fixture: Fixture<S>) {
    // What escaping, hash tags, patterns, numbers and case could confuse.
    let ids = [
        "7",
        "07",
        "7.0",
        "a",
        "A",
        "a:b",
        "a%3Ab",
        "a%3ab",
        "{a}",
        "a}",
        "a{b}",
        "*",
        "?",
        "a*",
        "a b",
        "a\n",
        "a\r\n",
        "a\0",
        "ü",
        "u\u{308}",
        "%",
        "%25",
        "%2525",
        "creators:7",
        "..",
        "constructor",
    ];
    let requests: Vec<_> = ids.iter().map(|who| request(Op::Check, who, 1)).collect();
    for outcome in fixture.batch(plain_rules(HOUR), &requests).await {
        assert!(outcome.decision.is_allowed());
    }
    for outcome in fixture.batch(plain_rules(HOUR), &requests).await {
        assert!(!outcome.decision.is_allowed());
    }
}

async fn an_empty_batch_has_no_answers<S: Store>(fixture: Fixture<S>) {
    assert!(fixture.batch(plain_rules(HOUR), &[]).await.is_empty());
}
