//! A store that goes away and comes back: who decides meanwhile, who asks whether it is back, and what it is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use huntaze_rate_limit::limiter::{Fallback, Limiter, Local, OnStoreError, Source};
use huntaze_rate_limit::quota::Outcome;
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::doubles::{Collector, Recording, Settled, collector, hour, limiter};
use crate::asking::{request, scope};

const DEADLINE: Duration = Duration::from_millis(100);
const PATIENT: Duration = Duration::from_secs(20);

/// A store that can be taken away, and what reached it.
#[derive(Clone, Default)]
struct Flaky(Arc<State>);

#[derive(Default)]
struct State {
    away: AtomicBool,
    /// No memory left for a replay.
    full: AtomicBool,
    /// It takes replays, and nobody hears of it.
    deaf: AtomicBool,
    sent: AtomicUsize,
    probes: AtomicUsize,
    replayed: Mutex<Vec<Replay>>,
    answers: Recording,
}

impl Flaky {
    fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    fn sent(&self) -> usize {
        self.0.sent.load(Ordering::SeqCst)
    }

    /// What has been replayed: the id, and how many admissions.
    fn replayed(&self) -> Vec<(String, usize)> {
        let replayed = self.0.replayed.lock().unwrap();
        let told = replayed
            .iter()
            .map(|r| (r.id.as_str().to_owned(), r.ages.len()));
        told.collect()
    }

    fn fails(&self) -> Result<(), StoreError> {
        match self.0.away.load(Ordering::SeqCst) {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl Store for Flaky {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.sent.fetch_add(1, Ordering::SeqCst);
        match self.fails() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => self.0.answers.run(scope, requests).await,
        }
    }

    async fn probe(&self, _: &Scope) -> Result<(), StoreError> {
        self.0.probes.fetch_add(1, Ordering::SeqCst);
        self.fails()
    }

    async fn replay(
        &self,
        _: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.fails()?;
        if self.0.full.load(Ordering::SeqCst) {
            let full = StoreError::new(ErrorKind::Oom, "full");
            return Ok(vec![Err(full); replays.len()]);
        }
        self.0.replayed.lock().unwrap().extend_from_slice(replays);
        if self.0.deaf.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::Disconnected,
                "gone before it answered",
            ));
        }
        Ok(vec![Ok(()); replays.len()])
    }
}

/// A limiter over a store, and its answers.
struct Outage {
    store: Flaky,
    limiter: Limiter<Collector>,
    answers: UnboundedReceiver<Settled>,
}

impl Outage {
    fn new(policy: OnStoreError) -> Self {
        let store = Flaky::default();
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
            None => {
                timeout(PATIENT, self.answers.recv())
                    .await
                    .unwrap()
                    .unwrap()
                    .1
            }
        };
        answer.map(|a| a.source).map_err(|e| e.kind())
    }

    /// Fails until the breaker is open.
    async fn go_away(&mut self) {
        self.store.set_away(true);
        for _ in 0..3 {
            let _ = self.ask(Op::Check, "1").await;
        }
    }

    /// Asks until the store decides.
    async fn come_back(&mut self) {
        self.store.set_away(false);
        let begun = Instant::now();
        while self.ask(Op::Check, "2").await != Ok(Source::Redis) {
            assert!(begun.elapsed() < PATIENT);
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn an_open_breaker_sends_nobody() {
    for policy in [OnStoreError::Local, OnStoreError::Throw] {
        let mut outage = Outage::new(policy);
        outage.go_away().await;
        let sent = outage.store.sent();
        for _ in 0..100 {
            match outage.ask(Op::Check, "1").await {
                Ok(source) => assert_eq!(source, Source::Local),
                // Why it is open, with the code it always had.
                Err(kind) => assert_eq!((kind, policy), (ErrorKind::Refused, OnStoreError::Throw)),
            }
        }
        assert_eq!(outage.store.sent(), sent);
        // Not before a second has passed.
        assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn two_probes_of_nobodys_find_it_again() {
    let mut outage = Outage::new(OnStoreError::Throw);
    outage.go_away().await;
    let sent = outage.store.sent();
    outage.store.set_away(false);
    // Nobody asks, and it is found.
    sleep(Duration::from_millis(1600)).await;
    assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 2);
    assert_eq!(outage.store.sent(), sent);
    assert_eq!(outage.ask(Op::Check, "1").await, Ok(Source::Redis));
}

#[tokio::test]
async fn what_was_admitted_meanwhile_is_told_before_anything_is_asked() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    for _ in 0..7 {
        let _ = outage.ask(Op::Limit, "7").await;
    }
    let sent = outage.store.sent();
    outage.come_back().await;
    // Three of id 1, five of the seven of id 7, and perhaps some of id 2 that asked until it was back.
    let replayed = outage.store.replayed();
    assert_eq!(replayed[..2], [("1".to_owned(), 3), ("7".to_owned(), 5)]);
    assert_eq!(outage.store.sent(), sent + 1);
    // Told once.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(outage.store.replayed(), replayed);
}

#[tokio::test]
async fn a_reset_is_told_and_what_was_before_it_is_not() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    for op in [Op::Check, Op::Check, Op::Reset, Op::Check] {
        assert_eq!(outage.ask(op, "7").await, Ok(Source::Local));
    }
    outage.come_back().await;
    let replayed = outage.store.0.replayed.lock().unwrap();
    let told = replayed.iter().find(|r| r.id.as_str() == "7").unwrap();
    assert!(told.reset.is_some());
    assert_eq!(told.ages.len(), 1);
}

/// A check that was late once, with the store well otherwise.
#[tokio::test]
async fn what_was_decided_here_in_between_is_told_soon() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.store.set_away(true);
    assert_eq!(outage.ask(Op::Check, "1").await, Ok(Source::Local));
    outage.store.set_away(false);
    let begun = Instant::now();
    while outage.store.replayed().is_empty() {
        assert!(begun.elapsed() < PATIENT);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(outage.store.replayed(), [("1".to_owned(), 1)]);
    assert_eq!(outage.store.0.probes.load(Ordering::SeqCst), 0);
}

/// A store that comes and goes grants no more than one limit.
#[tokio::test]
async fn the_local_logs_outlive_a_recovery() {
    let mut outage = Outage::new(OnStoreError::Local);
    let mut admitted = 0;
    for _ in 0..3 {
        outage.go_away().await;
        for _ in 0..5 {
            let asked = outage.limiter.submit(request(Op::Limit, "7", 5), 0);
            let (_, answer) = asked.expect("in the call");
            admitted += u32::from(answer.outcome.decision.is_allowed());
        }
        outage.come_back().await;
    }
    assert_eq!(admitted, 5);
    let of_seven = |replayed: Vec<(String, usize)>| -> usize {
        let of_seven = replayed.iter().filter(|(who, _)| who == "7");
        of_seven.map(|(_, count)| count).sum()
    };
    assert_eq!(of_seven(outage.store.replayed()), 5);
}

#[tokio::test]
async fn what_the_store_does_not_take_is_kept() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    outage.store.0.full.store(true, Ordering::SeqCst);
    outage.come_back().await;
    assert_eq!(outage.store.replayed(), []);
    outage.store.0.full.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    while !outage.store.replayed().contains(&("1".to_owned(), 3)) {
        assert!(begun.elapsed() < PATIENT, "{:?}", outage.store.replayed());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn other_policies_tell_nothing() {
    for policy in [OnStoreError::Open, OnStoreError::Closed] {
        let mut outage = Outage::new(policy);
        outage.go_away().await;
        outage.come_back().await;
        assert_eq!(outage.store.replayed(), []);
    }
}

/// Counted twice at most, which is strict; not with each attempt.
#[tokio::test]
async fn what_may_have_been_told_is_told_once_more_and_no_more() {
    let mut outage = Outage::new(OnStoreError::Local);
    outage.go_away().await;
    outage.store.0.deaf.store(true, Ordering::SeqCst);
    outage.come_back().await;
    let of_one = || {
        let replayed = outage.store.replayed();
        replayed
            .into_iter()
            .filter(|told| *told == ("1".to_owned(), 3))
            .count()
    };
    assert_eq!(of_one(), 2);
}

/// Nobody may trust a store that another limiter of the name is still telling.
#[tokio::test]
async fn two_limiters_of_one_name_wait_for_each_other() {
    let store = Flaky::default();
    let local = Local::default();
    let (sink, mut answers) = collector();
    let make = || {
        let fallback = Fallback::new(OnStoreError::Local, hour(), local.clone());
        let (store, sink) = (Arc::new(store.clone()), sink.clone());
        Limiter::remote(
            &Handle::current(),
            store,
            scope("t", hour()),
            DEADLINE,
            fallback,
            sink,
        )
    };
    let limiters = [make(), make()];
    store.set_away(true);
    for _ in 0..3 {
        for limiter in &limiters {
            if limiter.submit(request(Op::Check, "1", 50), 0).is_none() {
                let (_, answer) = answers.recv().await.unwrap();
                assert_eq!(answer.unwrap().source, Source::Local);
            }
        }
    }
    // One is at it, and takes its time.
    let replaying = local.journal.replay().unwrap();
    assert!(local.journal.replay().is_none());
    assert!(local.journal.replay().is_none());
    let taken = replaying.take(&local.logs);
    store.set_away(false);
    sleep(Duration::from_millis(2500)).await;
    assert!(store.0.probes.load(Ordering::SeqCst) >= 4);
    for limiter in &limiters {
        let (_, answer) = limiter
            .submit(request(Op::Check, "1", 50), 0)
            .expect("in the call");
        assert_eq!(answer.source, Source::Local);
    }
    drop(taken);
    drop(replaying);
    sleep(Duration::from_millis(500)).await;
    let told: usize = store.replayed().iter().map(|(_, count)| count).sum();
    assert_eq!(told, 8);
    for limiter in &limiters {
        assert!(limiter.submit(request(Op::Check, "1", 50), 0).is_none());
        let (_, answer) = answers.recv().await.unwrap();
        assert_eq!(answer.unwrap().source, Source::Redis);
    }
}

/// A reset that the store has done holds here, too.
#[tokio::test]
async fn a_reset_by_the_store_forgets_what_was_decided_here() {
    let mut outage = Outage::new(OnStoreError::Local);
    for _ in 0..2 {
        outage.go_away().await;
        for _ in 0..5 {
            let (_, answer) = outage
                .limiter
                .submit(request(Op::Limit, "7", 5), 0)
                .unwrap();
            assert!(answer.outcome.decision.is_allowed());
        }
        outage.come_back().await;
        assert_eq!(outage.ask(Op::Reset, "7").await, Ok(Source::Redis));
    }
}
