//! The store on a Redis Cluster: how it is found, where a request goes, and what its faults turn into.

mod connection_test;
mod deployment;
mod failover;
mod redirect;
mod refresh;
mod router;
mod slot_migration;
mod stopped_shard;
mod topology;

use std::time::{Duration, Instant};

use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::redis::RedisStore;
use huntaze_rate_limit::store::{Op, Request, Scope, Store, StoreError};

use crate::cluster::{SHARDS, slot_of};
use crate::requests::{id, quiet, request, scope};

const HOUR: Millis = 3_600_000;

/// Longer than a replica takes to be promoted, and to be found.
const PATIENT: Duration = Duration::from_secs(60);

fn hour() -> Scope {
    scope("t", quiet(HOUR))
}

fn key(who: &str) -> String {
    hour().name.key(&id(who))
}

/// One check each, at a limit of 5 an hour, in one batch.
async fn checks(
    store: &RedisStore,
    who: impl IntoIterator<Item = impl AsRef<str>>,
) -> Vec<Result<Outcome, StoreError>> {
    let requests = who
        .into_iter()
        .map(|who| request(Op::Check, who.as_ref(), 5));
    let requests: Vec<Request> = requests.collect();
    store.run(&hour(), &requests).await
}

/// How many are left of an id's 5, after taking one.
async fn left(store: &RedisStore, who: &str) -> u32 {
    let outcome = store.run(&hour(), &[request(Op::Limit, who, 5)]).await;
    outcome[0].as_ref().unwrap().decision.remaining
}

/// An id of the test's own of each shard, as slots are dealt out at the start, by its number.
fn one_of_each(test: &str) -> Vec<String> {
    (0..SHARDS)
        .map(|shard| ids_of(test, shard).next().unwrap())
        .collect()
}

/// Ids of the test's own whose logs are with that shard, as slots are dealt out at the start.
fn ids_of(test: &str, shard: usize) -> impl Iterator<Item = String> {
    let ids = (0..).map(move |n| format!("{test}-{n}"));
    ids.filter(move |who| usize::from(slot_of(&key(who))) * SHARDS / 16384 == shard)
}

/// Asks until it is decided, and says what was said until then.
async fn until_decided(store: &RedisStore, who: &str) -> Vec<StoreError> {
    let begun = Instant::now();
    let mut errors = Vec::new();
    loop {
        let status = [request(Op::Status, who, 5)];
        match store.run(&hour(), &status).await.swap_remove(0) {
            Ok(_) => return errors,
            Err(error) => errors.push(error),
        }
        assert!(begun.elapsed() < PATIENT, "still {:?}", errors.last());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
