//! When the store counts as away for a limiter, and when as back: the changes that its sink receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::old_limiter::{
    Completion, CompletionSink, Fallback, Limiter, Local, OnStoreError, StoreChange,
};
use huntaze_rate_limit::quota::Id;
use huntaze_rate_limit::store::{Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::flaky_store::{DEADLINE, FlakyStore, PATIENT};
use super::test_doubles::{hour, metrics};
use crate::requests::{request, scope};

/// A sink that keeps the changes of the store's state.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<Vec<StoreChange>>>);

impl CompletionSink for Changes {
    type RequestId = u32;

    fn complete(&self, _: Vec<Completion<'_, u32>>) {}

    fn flushed(&self, _: u32) {}

    fn store_changed(&self, change: StoreChange) {
        self.0.lock().unwrap().push(change);
    }
}

impl Changes {
    fn seen(&self) -> Vec<StoreChange> {
        self.0.lock().unwrap().clone()
    }
}

/// Two primaries, each with the ids of one parity.
#[derive(Clone, Default)]
struct Shards([FlakyStore; 2]);

fn shard_of(id: &Id) -> usize {
    id.as_str().parse::<usize>().unwrap() % 2
}

impl Store for Shards {
    fn shard_of(&self, _: &Scope, id: &Id) -> usize {
        shard_of(id)
    }

    fn primary_of(&self, shard: usize) -> Option<String> {
        Some(format!("shard-{shard}:6379"))
    }

    async fn run(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> Vec<Result<huntaze_rate_limit::quota::Outcome, StoreError>> {
        self.0[shard_of(&requests[0].id)].run(scope, requests).await
    }

    async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        self.0[shard].probe(scope, shard).await
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.0[shard_of(&replays[0].id)]
            .replay(scope, replays)
            .await
    }
}

struct Fixture {
    shards: Shards,
    changes: Changes,
    metrics: Arc<Metrics>,
    limiter: Limiter<Changes>,
}

impl Fixture {
    fn new(policy: OnStoreError) -> Self {
        Self::over(Shards::default(), policy, Local::default())
    }

    fn over(shards: Shards, policy: OnStoreError, local: Local) -> Self {
        let (changes, metrics) = (Changes::default(), metrics());
        let limiter = Limiter::remote(
            &Handle::current(),
            Arc::new(shards.clone()),
            scope("t", hour()),
            DEADLINE,
            Fallback::new(policy, hour(), local),
            changes.clone(),
            Arc::clone(&metrics),
        );
        Self {
            shards,
            changes,
            metrics,
            limiter,
        }
    }

    /// Submits a request of `who`, and waits until it has been answered.
    async fn ask(&self, op: Op, who: &str) {
        let _ = self.limiter.submit(request(op, who, 5), 0);
        sleep(Duration::from_millis(1)).await;
    }

    async fn fail(&self, who: &str, times: usize) {
        self.shards.0[shard_of(&Id::new(who).unwrap())].set_away(true);
        for _ in 0..times {
            self.ask(Op::Check, who).await;
        }
    }

    async fn until(&self, count: usize) {
        let begun = Instant::now();
        while self.changes.seen().len() < count {
            assert!(begun.elapsed() < PATIENT, "{:?}", self.changes.seen());
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn away(shard: usize) -> StoreChange {
    StoreChange::Away {
        code: "ECONNREFUSED",
        shard: Some(format!("shard-{shard}:6379")),
    }
}

#[tokio::test(start_paused = true)]
async fn checks_that_fail_by_themselves_change_nothing() {
    let it = Fixture::new(OnStoreError::Local);
    for _ in 0..4 {
        it.fail("0", 2).await;
        it.shards.0[0].set_away(false);
        it.ask(Op::Check, "2").await;
    }
    assert_eq!(it.changes.seen(), []);
    assert!(!it.metrics.snapshot().away);
}

#[tokio::test(start_paused = true)]
async fn away_when_the_breaker_opens_and_back_when_it_closes_with_what_was_decided() {
    for policy in OnStoreError::ALL {
        let it = Fixture::new(policy);
        it.fail("0", 3).await;
        assert_eq!(it.changes.seen(), [away(0)], "{policy:?}");
        let (begun, read) = (Instant::now(), it.metrics.snapshot());
        assert_eq!((read.away, read.outages), (true, 1), "{policy:?}");
        it.fail("0", 20).await;
        // None of these is a check.
        it.ask(Op::Status, "0").await;
        it.ask(Op::Reset, "0").await;
        it.shards.0[0].set_away(false);
        it.until(2).await;
        let seen = it.changes.seen();
        let StoreChange::Back { lasted, decided } = seen[1] else {
            panic!("{seen:?}");
        };
        // The check that opened it, and those after it.
        assert_eq!(decided, 21, "{policy:?}");
        let since = begun.elapsed();
        assert!(lasted >= since && lasted < since + Duration::from_millis(5));
        let read = it.metrics.snapshot();
        assert_eq!((read.away, read.outages), (false, 1), "{policy:?}");
        assert_eq!(read.away_time, lasted);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_shard_to_go_and_the_last_to_return_change_the_state() {
    let it = Fixture::new(OnStoreError::Closed);
    it.fail("1", 3).await;
    it.fail("0", 3).await;
    it.shards.0[1].set_away(false);
    while it.shards.0[1].sent() < 4 {
        it.ask(Op::Check, "1").await;
    }
    assert_eq!(it.changes.seen(), [away(1)]);
    it.shards.0[0].set_away(false);
    it.until(2).await;
    assert!(matches!(it.changes.seen()[1], StoreChange::Back { .. }));
    it.fail("0", 3).await;
    assert_eq!(it.changes.seen().len(), 3);
    assert_eq!(it.changes.seen()[2], away(0));
}

#[tokio::test(start_paused = true)]
async fn a_closed_limiter_reports_no_more_changes() {
    let it = Fixture::new(OnStoreError::Local);
    it.fail("0", 3).await;
    drop(it.limiter);
    it.shards.0[0].set_away(false);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(it.changes.seen(), [away(0)]);
    assert!(!it.metrics.snapshot().away);
}

/// Another limiter of the name has decided without the store: this one has to replay first.
#[tokio::test(start_paused = true)]
async fn a_store_with_pending_replays_is_away_only_if_it_does_not_answer() {
    for gone in [false, true] {
        let local = Local::default();
        let first = Fixture::over(Shards::default(), OnStoreError::Local, local.clone());
        first.fail("0", 3).await;
        first.shards.0[0].set_away(gone);
        let second = Fixture::over(first.shards.clone(), OnStoreError::Local, local);
        sleep(Duration::from_secs(5)).await;
        let expected = if gone { vec![away(0)] } else { Vec::new() };
        assert_eq!(second.changes.seen(), expected);
    }
}
