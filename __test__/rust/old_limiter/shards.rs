//! A store of several shards: one that fails does not delay the others.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Journal, Limiter, OnStoreError, Source};
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::{
    ErrorKind, MemoryStore, Op, Replay, Request, Scope, Store, StoreError,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use super::flaky_store::{DEADLINE, FlakyStore, PATIENT};
use super::test_doubles::{Collector, Settled, hour, limiter};
use crate::requests::request;

/// Ids of even numbers are in the first shard, odd ones in the second. Each shard can be away by itself.
#[derive(Clone, Default)]
struct TwoShards {
    shards: [FlakyStore; 2],
    /// The shard map does not yet show that there are two.
    unknown: Arc<AtomicBool>,
    /// The first shard hangs, where a batch asks both.
    hangs: Arc<AtomicBool>,
}

fn shard_of(id: &Id) -> usize {
    id.as_str().parse::<usize>().unwrap() % 2
}

impl Store for TwoShards {
    fn shard_of(&self, _: &Scope, id: &Id) -> usize {
        match self.unknown.load(Ordering::SeqCst) {
            true => 0,
            false => shard_of(id),
        }
    }

    fn shard_map_version(&self) -> u64 {
        u64::from(!self.unknown.load(Ordering::SeqCst))
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        on_results: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        let hangs = self.hangs.load(Ordering::SeqCst);
        let of =
            |wanted| (0..requests.len()).filter(move |&at| shard_of(&requests[at].id) == wanted);
        for wanted in [1, 0] {
            let indices: Vec<_> = of(wanted).collect();
            let asked: Vec<_> = indices.iter().map(|&at| requests[at].clone()).collect();
            if asked.is_empty() {
                continue;
            }
            if wanted == 0 && hangs && asked.len() < requests.len() {
                pending::<()>().await;
            }
            on_results(&indices, self.run(scope, &asked).await);
        }
    }

    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let mut results = Vec::new();
        for request in requests {
            let shard = &self.shards[shard_of(&request.id)];
            results.extend(shard.run(scope, std::slice::from_ref(request)).await);
        }
        results
    }

    async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        self.shards[shard].probe(scope, shard).await
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut results = Vec::new();
        for replay in replays {
            let shard = &self.shards[shard_of(&replay.id)];
            results.extend(shard.replay(scope, std::slice::from_ref(replay)).await?);
        }
        Ok(results)
    }
}

struct Fixture {
    store: TwoShards,
    limiter: Limiter<Collector>,
    answers: UnboundedReceiver<Settled>,
}

impl Fixture {
    fn new(policy: OnStoreError) -> Self {
        let store = TwoShards::default();
        let (limiter, answers) = limiter(&Handle::current(), store.clone(), policy, DEADLINE);
        Self {
            store,
            limiter,
            answers,
        }
    }

    async fn ask(&mut self, op: Op, who: &str) -> Result<Source, ErrorKind> {
        let answer = match self.limiter.submit(request(op, who, 5), 0) {
            Some((_, answer)) => Ok(answer),
            None => self.next().await.1,
        };
        answer.map(|a| a.source).map_err(|e| e.kind())
    }

    async fn next(&mut self) -> Settled {
        let next = timeout(PATIENT, self.answers.recv()).await;
        next.unwrap().unwrap()
    }

    /// Asks for the status of `who` until the store answers.
    async fn until_back(&mut self, who: &str) {
        let begun = Instant::now();
        while self.ask(Op::Status, who).await != Ok(Source::Redis) {
            assert!(begun.elapsed() < PATIENT);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_away_opens_its_own_breaker_only() {
    let mut fixture = Fixture::new(OnStoreError::Local);
    fixture.store.shards[0].set_away(true);
    for _ in 0..3 {
        assert_eq!(fixture.ask(Op::Check, "0").await, Ok(Source::Local));
        assert_eq!(fixture.ask(Op::Check, "1").await, Ok(Source::Redis));
    }
    let sent = fixture.store.shards.each_ref().map(FlakyStore::sent);
    for _ in 0..20 {
        assert_eq!(fixture.ask(Op::Status, "0").await, Ok(Source::Local));
        assert_eq!(fixture.ask(Op::Status, "1").await, Ok(Source::Redis));
    }
    let since = fixture.store.shards.each_ref().map(FlakyStore::sent);
    assert_eq!([since[0] - sent[0], since[1] - sent[1]], [0, 20]);
    fixture.store.shards[0].set_away(false);
    fixture.until_back("0").await;
    // Only the shard that had been away was probed.
    let probes = fixture.store.shards.each_ref();
    let probes = probes.map(|shard| shard.0.probes.load(Ordering::SeqCst));
    assert_eq!((probes[0] > 0, probes[1]), (true, 0));
}

/// Both shards have pending replays, and the one that is back gets its own.
#[tokio::test(start_paused = true)]
async fn local_decisions_are_replayed_to_each_shard_by_itself() {
    let mut fixture = Fixture::new(OnStoreError::Local);
    fixture
        .store
        .shards
        .iter()
        .for_each(|shard| shard.set_away(true));
    for who in ["0", "1", "0", "1", "0", "1", "1"] {
        assert_eq!(fixture.ask(Op::Check, who).await, Ok(Source::Local));
    }
    fixture.store.shards[1].set_away(false);
    fixture.until_back("1").await;
    assert_eq!(fixture.store.shards[1].replayed(), [("1".to_owned(), 4)]);
    assert_eq!(fixture.ask(Op::Status, "0").await, Ok(Source::Local));
    assert_eq!(fixture.store.shards[0].replayed(), []);
    fixture.store.shards[0].set_away(false);
    fixture.until_back("0").await;
    assert_eq!(fixture.store.shards[0].replayed(), [("0".to_owned(), 3)]);
}

/// Both shards have pending replays, and do not take them yet.
#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_every_shard_and_completes_once() {
    let mut fixture = Fixture::new(OnStoreError::Local);
    for shard in &fixture.store.shards {
        shard.0.full.store(true, Ordering::SeqCst);
        shard.set_away(true);
    }
    for who in ["0", "1"] {
        assert_eq!(fixture.ask(Op::Check, who).await, Ok(Source::Local));
    }
    for shard in &fixture.store.shards {
        shard.set_away(false);
    }
    for who in ["0", "1"] {
        assert_eq!(fixture.ask(Op::Check, who).await, Ok(Source::Redis));
    }
    assert!(fixture.limiter.flush(9));
    // At the deadline: once for both.
    assert_eq!(fixture.next().await.0, 9);
    sleep(2 * DEADLINE).await;
    assert!(fixture.answers.try_recv().is_err());
}

/// Only after the outage is the store known to have two shards: the second gets its replay before its first check.
#[tokio::test(start_paused = true)]
async fn a_shard_that_is_found_later_gets_its_replay_before_a_check() {
    let mut fixture = Fixture::new(OnStoreError::Local);
    fixture.store.unknown.store(true, Ordering::SeqCst);
    for shard in &fixture.store.shards {
        shard.set_away(true);
    }
    for who in ["0", "1", "1", "0", "1", "1", "1"] {
        assert_eq!(fixture.ask(Op::Check, who).await, Ok(Source::Local));
    }
    for shard in &fixture.store.shards {
        shard.set_away(false);
    }
    fixture.store.unknown.store(false, Ordering::SeqCst);
    let sent = fixture.store.shards[1].sent();
    fixture.until_back("1").await;
    assert_eq!(fixture.store.shards[1].replayed(), [("1".to_owned(), 5)]);
    assert_eq!(fixture.store.shards[1].sent(), sent + 1);
    fixture.until_back("0").await;
    assert_eq!(fixture.store.shards[0].replayed(), [("0".to_owned(), 2)]);
}

/// The batch was sent before the shards were known, and the other shard hangs.
#[tokio::test(start_paused = true)]
async fn an_answered_request_waits_for_no_other_of_its_batch() {
    let mut fixture = Fixture::new(OnStoreError::Local);
    fixture.store.unknown.store(true, Ordering::SeqCst);
    fixture.store.hangs.store(true, Ordering::SeqCst);
    for round in 0..10 {
        let begun = Instant::now();
        // The first leaves alone, and the others together after it.
        let asked = ["1", "0", "1", "1"];
        for (request_id, who) in (0..).zip(asked) {
            let request = request(Op::Check, who, 1000);
            assert!(fixture.limiter.submit(request, request_id).is_none());
        }
        let mut sources = Vec::new();
        for _ in asked {
            let (request_id, answer) = fixture.next().await;
            sources.push((request_id, answer.unwrap().source));
            if request_id != 1 {
                assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}");
            }
        }
        sources.sort_by_key(|&(request_id, _)| request_id);
        let sources: Vec<_> = sources.into_iter().map(|(_, source)| source).collect();
        // The breaker stays closed: the store has answered each of the batches.
        let expected = [Source::Redis, Source::Local, Source::Redis, Source::Redis];
        assert_eq!(sources, expected, "round {round}");
    }
}

/// Its log has moved to another shard, and the two must not both replay its admissions.
#[test]
fn an_id_is_replayed_to_the_shard_of_its_first_admission() {
    let (journal, logs) = (Journal::default(), MemoryStore::default());
    let ask = |shard| journal.answer(&logs, hour(), shard, &request(Op::Check, "7", 5));
    ask(2);
    ask(0);
    assert!(journal.is_empty(0) && !journal.is_empty(2));
    let replaying = journal.replay(2).unwrap();
    let call = replaying.take(&logs);
    assert_eq!(call.replays()[0].ages.len(), 2);
    // Also during a replay.
    ask(0);
    assert!(journal.is_empty(0));
    // The store did not take it.
    drop(call);
    let call = replaying.take(&logs);
    assert_eq!(call.replays()[0].ages.len(), 3);
}
