//! The store on a Redis Cluster: detection, routing, and the errors that its faults turn into.

mod connection_test;
mod deployment;
mod failover;
mod redirect;
mod refresh;
mod router;
mod slot_migration;
mod stopped_shard;

use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::quota::{Millis, Outcome};
use huntaze_rate_limit::store::{Op, Request, Scope, StoreError};

use crate::store::Store;

use crate::requests::{id, plain_rules, request, scope};
use crate::test_cluster::{SHARDS, slot_of};

const HOUR: Millis = 3_600_000;

/// Longer than the promotion of a replica takes, with its detection.
const PATIENT: Duration = Duration::from_secs(60);

fn hour() -> Scope {
    scope("t", plain_rules(HOUR))
}

fn key(who: &str) -> String {
    hour().name.key(&id(who))
}

/// One check of each id, at a limit of 5 an hour, in one batch.
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

/// Takes a slot of an id. Returns how many of its 5 are left.
async fn take_slot(store: &RedisStore, who: &str) -> u32 {
    let outcome = store.run(&hour(), &[request(Op::Limit, who, 5)]).await;
    outcome[0].as_ref().unwrap().decision.remaining
}

/// An id of the test's own for each shard, in the order of the shards, with the slots as assigned at the start.
fn one_id_per_shard(test: &str) -> Vec<String> {
    (0..SHARDS)
        .map(|shard| ids_of_shard(test, shard).next().unwrap())
        .collect()
}

/// Ids of the test's own in that shard, with the slots as assigned at the start.
fn ids_of_shard(test: &str, shard: usize) -> impl Iterator<Item = String> {
    let ids = (0..).map(move |n| format!("{test}-{n}"));
    ids.filter(move |who| usize::from(slot_of(&key(who))) * SHARDS / 16384 == shard)
}

/// Sends status requests until one is decided. Returns the errors until then.
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
