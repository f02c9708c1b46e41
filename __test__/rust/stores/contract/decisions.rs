//! The contract suite: decisions about one id.

use huntaze_rate_limit::quota::{AnomalyStatus, MAX_WINDOW_MS, Millis};
use huntaze_rate_limit::store::Op;

use crate::store::Store;

use super::fixture::{Fixture, over_every_store};
use crate::requests::{plain_rules, request};

over_every_store!(
    admits_the_limit_and_denies_the_next,
    frees_at_the_promised_moment,
    status_records_nothing,
    reset_gives_the_whole_quota_back,
    a_change_of_plan_keeps_the_history,
    status_and_decisions_show_remaining_and_reset,
    serves_the_shortest_and_the_longest_window,
);

const HOUR: Millis = 3_600_000;

async fn admits_the_limit_and_denies_the_next<S: Store>(fixture: Fixture<S>) {
    for n in [1, 2, 50] {
        let who = n.to_string();
        for _ in 0..n {
            assert!(
                fixture
                    .ask(plain_rules(HOUR), Op::Check, &who, n)
                    .await
                    .decision
                    .is_allowed()
            );
        }
        let denied = fixture
            .ask(plain_rules(HOUR), Op::Check, &who, n)
            .await
            .decision;
        assert!(!denied.is_allowed());
        assert!((1..=HOUR).contains(&denied.retry_after_ms()), "{denied:?}");
    }
}

async fn frees_at_the_promised_moment<S: Store>(fixture: Fixture<S>) {
    // Each wait is as short as promised, and a denied request costs the caller nothing.
    frees_in_time(&fixture, "a", 2, 200).await;
}

/// Three denials, each of the last request in a batch that exceeds the limit by one. A batch falls within one window, unless the
/// store's clock moves on between two of its requests.
async fn frees_in_time<S: Store>(fixture: &Fixture<S>, who: &str, limit: u32, window: Millis) {
    let batch = vec![request(Op::Check, who, limit); limit as usize + 1];
    let (mut denials, mut batches) = (0, 0);
    while denials < 3 {
        batches += 1;
        assert!(batches < 1000, "no request is denied");
        let last = fixture
            .batch(plain_rules(window), &batch)
            .await
            .pop()
            .unwrap();
        if last.decision.is_allowed() {
            continue;
        }
        denials += 1;
        assert!((1..=window).contains(&last.decision.retry_after_ms()));
        fixture.wait(last).await;
        let returned = fixture
            .ask(plain_rules(window), Op::Check, who, limit)
            .await;
        assert!(returned.decision.is_allowed());
    }
}

async fn status_records_nothing<S: Store>(fixture: Fixture<S>) {
    for _ in 0..5 {
        assert_eq!(
            fixture
                .ask(plain_rules(HOUR), Op::Status, "a", 1)
                .await
                .decision
                .remaining,
            1
        );
    }
    assert!(
        fixture
            .ask(plain_rules(HOUR), Op::Check, "a", 1)
            .await
            .decision
            .is_allowed()
    );
    for _ in 0..5 {
        assert_eq!(
            fixture
                .ask(plain_rules(HOUR), Op::Status, "a", 1)
                .await
                .decision
                .remaining,
            0
        );
    }
}

async fn reset_gives_the_whole_quota_back<S: Store>(fixture: Fixture<S>) {
    for _ in 0..3 {
        fixture.ask(plain_rules(HOUR), Op::Check, "a", 2).await;
        fixture.ask(plain_rules(HOUR), Op::Check, "b", 2).await;
    }
    let reset = fixture.ask(plain_rules(HOUR), Op::Reset, "a", 2).await;
    assert_eq!(
        (reset.decision.remaining, reset.anomaly_status),
        (2, AnomalyStatus::None)
    );
    let status = fixture
        .ask(plain_rules(HOUR), Op::Status, "a", 2)
        .await
        .decision;
    assert_eq!(status.remaining, 2);
    assert!(status.reset >= reset.decision.reset, "unused: now + window");
    assert!(
        fixture
            .ask(plain_rules(HOUR), Op::Check, "a", 2)
            .await
            .decision
            .is_allowed()
    );
    // I14: an id does not affect another.
    assert!(
        !fixture
            .ask(plain_rules(HOUR), Op::Check, "b", 2)
            .await
            .decision
            .is_allowed()
    );
}

async fn a_change_of_plan_keeps_the_history<S: Store>(fixture: Fixture<S>) {
    let rules = plain_rules(HOUR);
    for _ in 0..5 {
        assert!(
            fixture
                .ask(rules, Op::Check, "a", 5)
                .await
                .decision
                .is_allowed()
        );
    }
    assert_eq!(
        fixture
            .ask(rules, Op::Status, "a", 50)
            .await
            .decision
            .remaining,
        45
    );
    assert_eq!(
        fixture
            .ask(rules, Op::Status, "a", 3)
            .await
            .decision
            .remaining,
        0
    );
    assert!(
        !fixture
            .ask(rules, Op::Check, "a", 3)
            .await
            .decision
            .is_allowed()
    );
    assert_eq!(
        fixture
            .ask(rules, Op::Limit, "a", 50)
            .await
            .decision
            .remaining,
        44
    );
}

async fn status_and_decisions_show_remaining_and_reset<S: Store>(fixture: Fixture<S>) {
    let rules = plain_rules(HOUR);
    let unused = fixture.ask(rules, Op::Status, "a", 3).await.decision;
    let unix = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_millis() as Millis;
    assert!(
        (unused.reset - HOUR).abs_diff(unix) < 60_000,
        "Unix ms: {unused:?}"
    );
    let mut last = unused.reset;
    for remaining in [2, 1, 0] {
        let decision = fixture.ask(rules, Op::Limit, "a", 3).await.decision;
        assert!(decision.is_allowed());
        assert_eq!(decision.remaining, remaining);
        assert_eq!(decision.reset_after, HOUR, "from the decision on");
        // The reset is when every admission has left: each admission moves it on.
        assert!(decision.reset >= last);
        last = decision.reset;
        let status = fixture.ask(rules, Op::Status, "a", 3).await.decision;
        assert_eq!(
            (status.remaining, status.reset),
            (remaining, decision.reset)
        );
    }
    let denied = fixture.ask(rules, Op::Limit, "a", 3).await.decision;
    assert!(!denied.is_allowed());
    assert_eq!((denied.remaining, denied.reset), (0, last));
    // The newest admission leaves last; the slot is that of the oldest.
    assert!((denied.retry_after_ms()..=HOUR).contains(&denied.reset_after));
}

async fn serves_the_shortest_and_the_longest_window<S: Store>(fixture: Fixture<S>) {
    // One millisecond: every admission has left by the promised moment.
    frees_in_time(&fixture, "short", 1, 1).await;
    let rules = plain_rules(MAX_WINDOW_MS);
    let batch = [Op::Check, Op::Check, Op::Limit].map(|op| request(op, "long", 1));
    let outcomes = fixture.batch(rules, &batch).await;
    assert!(outcomes[0].decision.is_allowed());
    // In one batch they share one moment, or a few if the clock moves on.
    let waits = outcomes[1].decision.retry_after_ms();
    assert!(
        (MAX_WINDOW_MS - 60_000..=MAX_WINDOW_MS).contains(&waits),
        "{waits}"
    );
    assert!(!outcomes[2].decision.is_allowed());
}
