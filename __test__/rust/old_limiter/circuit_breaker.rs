//! The open circuit breaker: the policy decides, and only probes reach the store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{OnStoreError, Source};
use huntaze_rate_limit::store::{ErrorKind, Op};
use tokio::time::sleep;

use super::flaky_store::Outage;

#[tokio::test(start_paused = true)]
async fn an_open_breaker_sends_no_request() {
    for policy in [OnStoreError::Local, OnStoreError::Throw] {
        let mut outage = Outage::new(policy);
        outage.go_away().await;
        let sent = outage.store.sent();
        for _ in 0..100 {
            match outage.ask(Op::Check, "1").await {
                Ok(source) => assert_eq!(source, Source::Local),
                // The error that opened it, with the same code.
                Err(kind) => assert_eq!((kind, policy), (ErrorKind::Refused, OnStoreError::Throw)),
            }
        }
        assert_eq!(outage.store.sent(), sent);
        // The first probe comes after a second at the earliest.
        assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn two_probes_find_the_store_without_a_request() {
    let mut outage = Outage::new(OnStoreError::Throw);
    outage.go_away().await;
    let sent = outage.store.sent();
    outage.store.set_away(false);
    // Without a request it is found within the longest of the first delays.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 2);
    assert_eq!(outage.store.sent(), sent);
    assert_eq!(outage.ask(Op::Check, "1").await, Ok(Source::Redis));
}
