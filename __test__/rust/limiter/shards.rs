//! A store of several parts: what is sick holds up nothing else.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use huntaze_rate_limit::limiter::{Journal, Limiter, OnStoreError, Source};
use huntaze_rate_limit::quota::{Id, Outcome};
use huntaze_rate_limit::store::{
    ErrorKind, MemoryStore, Op, Replay, Request, Scope, Store, StoreError,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use super::flaky_store::{DEADLINE, Flaky, PATIENT};
use super::test_doubles::{Collector, Settled, hour, limiter};
use crate::requests::request;

/// Even numbers are with the first, odd ones with the second; each can be away by itself.
#[derive(Clone, Default)]
struct Halves {
    halves: [Flaky; 2],
    /// Nobody knows yet that there are two.
    unknown: Arc<AtomicBool>,
    /// The first hangs, where both are asked together.
    hangs: Arc<AtomicBool>,
}

fn half(id: &Id) -> usize {
    id.as_str().parse::<usize>().unwrap() % 2
}

impl Store for Halves {
    fn shard_of(&self, _: &Scope, id: &Id) -> usize {
        match self.unknown.load(Ordering::SeqCst) {
            true => 0,
            false => half(id),
        }
    }

    fn shard_map_version(&self) -> u64 {
        u64::from(!self.unknown.load(Ordering::SeqCst))
    }

    async fn run_streaming(
        &self,
        scope: &Scope,
        requests: &[Request],
        land: impl Fn(&[usize], Vec<Result<Outcome, StoreError>>) + Send + Sync,
    ) {
        let hangs = self.hangs.load(Ordering::SeqCst);
        let of = |wanted| (0..requests.len()).filter(move |&at| half(&requests[at].id) == wanted);
        for wanted in [1, 0] {
            let places: Vec<_> = of(wanted).collect();
            let asked: Vec<_> = places.iter().map(|&at| requests[at].clone()).collect();
            if asked.is_empty() {
                continue;
            }
            if wanted == 0 && hangs && asked.len() < requests.len() {
                pending::<()>().await;
            }
            land(&places, self.run(scope, &asked).await);
        }
    }

    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let mut results = Vec::new();
        for request in requests {
            let half = &self.halves[half(&request.id)];
            results.extend(half.run(scope, std::slice::from_ref(request)).await);
        }
        results
    }

    async fn probe(&self, scope: &Scope, part: usize) -> Result<(), StoreError> {
        self.halves[part].probe(scope, part).await
    }

    async fn replay(
        &self,
        scope: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut results = Vec::new();
        for replay in replays {
            let half = &self.halves[half(&replay.id)];
            results.extend(half.replay(scope, std::slice::from_ref(replay)).await?);
        }
        Ok(results)
    }
}

struct Sides {
    store: Halves,
    limiter: Limiter<Collector>,
    answers: UnboundedReceiver<Settled>,
}

impl Sides {
    fn new(policy: OnStoreError) -> Self {
        let store = Halves::default();
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

    /// Asks about `who` until the answer comes from the store.
    async fn until_back(&mut self, who: &str) {
        let begun = Instant::now();
        while self.ask(Op::Status, who).await != Ok(Source::Redis) {
            assert!(begun.elapsed() < PATIENT);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_away_opens_its_own_breaker_only() {
    let mut sides = Sides::new(OnStoreError::Local);
    sides.store.halves[0].set_away(true);
    for _ in 0..3 {
        assert_eq!(sides.ask(Op::Check, "0").await, Ok(Source::Local));
        assert_eq!(sides.ask(Op::Check, "1").await, Ok(Source::Redis));
    }
    let sent = sides.store.halves.each_ref().map(Flaky::sent);
    for _ in 0..20 {
        assert_eq!(sides.ask(Op::Status, "0").await, Ok(Source::Local));
        assert_eq!(sides.ask(Op::Status, "1").await, Ok(Source::Redis));
    }
    let since = sides.store.halves.each_ref().map(Flaky::sent);
    assert_eq!([since[0] - sent[0], since[1] - sent[1]], [0, 20]);
    sides.store.halves[0].set_away(false);
    sides.until_back("0").await;
    // Probed was the one that had been away.
    let probes = sides.store.halves.each_ref();
    let probes = probes.map(|half| half.0.probes.load(Ordering::SeqCst));
    assert_eq!((probes[0] > 0, probes[1]), (true, 0));
}

/// Both have something to hear, and the one that is there hears it.
#[tokio::test(start_paused = true)]
async fn what_was_decided_here_is_told_to_each_by_itself() {
    let mut sides = Sides::new(OnStoreError::Local);
    sides
        .store
        .halves
        .iter()
        .for_each(|half| half.set_away(true));
    for who in ["0", "1", "0", "1", "0", "1", "1"] {
        assert_eq!(sides.ask(Op::Check, who).await, Ok(Source::Local));
    }
    sides.store.halves[1].set_away(false);
    sides.until_back("1").await;
    assert_eq!(sides.store.halves[1].replayed(), [("1".to_owned(), 4)]);
    assert_eq!(sides.ask(Op::Status, "0").await, Ok(Source::Local));
    assert_eq!(sides.store.halves[0].replayed(), []);
    sides.store.halves[0].set_away(false);
    sides.until_back("0").await;
    assert_eq!(sides.store.halves[0].replayed(), [("0".to_owned(), 3)]);
}

/// Both sides have something to tell, and cannot yet.
#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_every_part_and_is_told_once() {
    let mut sides = Sides::new(OnStoreError::Local);
    for half in &sides.store.halves {
        half.0.full.store(true, Ordering::SeqCst);
        half.set_away(true);
    }
    for who in ["0", "1"] {
        assert_eq!(sides.ask(Op::Check, who).await, Ok(Source::Local));
    }
    for half in &sides.store.halves {
        half.set_away(false);
    }
    for who in ["0", "1"] {
        assert_eq!(sides.ask(Op::Check, who).await, Ok(Source::Redis));
    }
    assert!(sides.limiter.flush(9));
    // At the deadline: once for both.
    assert_eq!(sides.next().await.0, 9);
    sleep(2 * DEADLINE).await;
    assert!(sides.answers.try_recv().is_err());
}

/// The store is found to have two parts only after it was away: the second hears of what was decided before it is asked.
#[tokio::test(start_paused = true)]
async fn a_part_that_is_found_later_is_told_before_it_is_asked() {
    let mut sides = Sides::new(OnStoreError::Local);
    sides.store.unknown.store(true, Ordering::SeqCst);
    for half in &sides.store.halves {
        half.set_away(true);
    }
    for who in ["0", "1", "1", "0", "1", "1", "1"] {
        assert_eq!(sides.ask(Op::Check, who).await, Ok(Source::Local));
    }
    for half in &sides.store.halves {
        half.set_away(false);
    }
    sides.store.unknown.store(false, Ordering::SeqCst);
    let sent = sides.store.halves[1].sent();
    sides.until_back("1").await;
    assert_eq!(sides.store.halves[1].replayed(), [("1".to_owned(), 5)]);
    assert_eq!(sides.store.halves[1].sent(), sent + 1);
    sides.until_back("0").await;
    assert_eq!(sides.store.halves[0].replayed(), [("0".to_owned(), 2)]);
}

/// A batch that was sent before the parts were known: the other half hangs.
#[tokio::test(start_paused = true)]
async fn what_has_been_answered_waits_for_nobody_else_of_its_batch() {
    let mut sides = Sides::new(OnStoreError::Local);
    sides.store.unknown.store(true, Ordering::SeqCst);
    sides.store.hangs.store(true, Ordering::SeqCst);
    for round in 0..10 {
        let begun = Instant::now();
        // The first leaves alone, and the others together after it.
        let asked = ["1", "0", "1", "1"];
        for (ticket, who) in (0..).zip(asked) {
            let request = request(Op::Check, who, 1000);
            assert!(sides.limiter.submit(request, ticket).is_none());
        }
        let mut sources = Vec::new();
        for _ in asked {
            let (ticket, answer) = sides.next().await;
            sources.push((ticket, answer.unwrap().source));
            if ticket != 1 {
                assert_eq!(begun.elapsed(), Duration::ZERO, "round {round}");
            }
        }
        sources.sort_by_key(|&(ticket, _)| ticket);
        let sources: Vec<_> = sources.into_iter().map(|(_, source)| source).collect();
        // The breaker stays closed: the store has answered each of the batches.
        let expected = [Source::Redis, Source::Local, Source::Redis, Source::Redis];
        assert_eq!(sources, expected, "round {round}");
    }
}

/// Its log has moved, and the two parts must not tell of the same admissions.
#[test]
fn an_id_is_noted_where_it_was_first() {
    let (journal, logs) = (Journal::default(), MemoryStore::default());
    let ask = |part| journal.answer(&logs, hour(), part, &request(Op::Check, "7", 5));
    ask(2);
    ask(0);
    assert!(journal.is_empty(0) && !journal.is_empty(2));
    let replaying = journal.replay(2).unwrap();
    let call = replaying.take(&logs);
    assert_eq!(call.replays()[0].ages.len(), 2);
    // Also while it is being told.
    ask(0);
    assert!(journal.is_empty(0));
    // It was not taken.
    drop(call);
    let call = replaying.take(&logs);
    assert_eq!(call.replays()[0].ages.len(), 3);
}
