//! One Redis: how it is found and reached, and what its faults turn into.

mod certificates;
mod environment;
mod environment_tls;
mod environment_url;
mod faults;
mod keys;
mod network;
mod passwords;
mod recovery;
mod secrets;
mod tls;

use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::redis::{Credentials, RedisStore, Secret};
use huntaze_rate_limit::store::{ErrorKind, Op, StoreError};

use crate::asking::{ask, quiet, scope};

const HOUR: Millis = 3_600_000;

/// One check of `who` at a limit of 5 an hour.
async fn check(store: &RedisStore, who: &str) -> Result<Outcome, StoreError> {
    ask(store, &scope("t", quiet(HOUR)), Op::Check, who, 5).await
}

/// Takes a slot of `who`, at a limit of 5 an hour, and says how many are left.
async fn left(store: &RedisStore, who: &str) -> u32 {
    let outcome = ask(store, &scope("t", quiet(HOUR)), Op::Limit, who, 5).await;
    outcome.unwrap().decision.remaining
}

/// What went wrong with a check.
async fn failure(store: &RedisStore) -> ErrorKind {
    check(store, "a").await.unwrap_err().kind()
}

fn passwords(list: &[&str]) -> Credentials {
    Credentials::Passwords(list.iter().map(|&text| Secret::new(text)).collect())
}
