//! One Redis: its configuration, connections to it, and the errors that its faults turn into.

mod auth_proxy;
pub mod certificates;
mod connect_budget;
mod connection_test;
mod connector;
mod credentials;
mod health_check;
mod keys;
mod login;
mod lossy_proxy;
mod protocol_mismatch;
mod reauthentication;
mod reconnect;
mod replay;
mod secrets;
mod server_errors;
mod tls;
mod tls_error;
mod tls_renewal;

use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::redis::{Credentials, Secret};
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use crate::requests::{ask, plain_rules, scope};

const HOUR: Millis = 3_600_000;

/// One check of `who` at a limit of 5 an hour.
async fn check(store: &RedisStore, who: &str) -> Result<Outcome, StoreError> {
    ask(store, &scope("t", plain_rules(HOUR)), Op::Check, who, 5).await
}

/// Takes a slot of `who`, at a limit of 5 an hour. Returns how many are left.
async fn take_slot(store: &RedisStore, who: &str) -> u32 {
    let outcome = ask(store, &scope("t", plain_rules(HOUR)), Op::Limit, who, 5).await;
    outcome.unwrap().decision.remaining
}

/// The kind of error that a check fails with.
async fn failure(store: &RedisStore) -> ErrorKind {
    check(store, "a").await.unwrap_err().kind()
}

/// Checks until one is decided, or fails with the `wanted` kind. Returns the errors before. Attempts to connect are spaced.
async fn until(store: &RedisStore, wanted: Option<ErrorKind>) -> Vec<ErrorKind> {
    let begun = Instant::now();
    let mut errors = Vec::new();
    loop {
        let kind = check(store, "probe").await.err().map(|error| error.kind());
        if kind == wanted {
            return errors;
        }
        errors.extend(kind);
        let last = errors.last();
        assert!(begun.elapsed() < PATIENT, "not {wanted:?} but {last:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Longer than any failure here takes that is not a time-out.
const PATIENT: Duration = Duration::from_secs(60);

fn passwords(list: &[&str]) -> Credentials {
    Credentials::Passwords(list.iter().map(|&text| Secret::new(text)).collect())
}
