//! A store that goes away and comes back, and a limiter over it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Limiter, OnStoreError, Source};
use huntaze_rate_limit::quota::Outcome;
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use super::test_doubles::{Collector, Recording, Settled, limiter};
use crate::requests::request;

/// The deadline of its limiter.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// Longer than anything here takes.
pub const PATIENT: Duration = Duration::from_secs(20);

/// A store that can be taken away, and the calls that reached it.
#[derive(Clone, Default)]
pub struct FlakyStore(pub Arc<State>);

#[derive(Default)]
pub struct State {
    pub away: AtomicBool,
    /// No memory left for a replay.
    pub full: AtomicBool,
    /// It enters replays, and its reply is lost.
    pub loses_replies: AtomicBool,
    /// A replay waits in flight for `go_on`, and then arrives.
    pub held: AtomicBool,
    pub go_on: Notify,
    pub replaying: AtomicUsize,
    pub sent: AtomicUsize,
    pub probes: AtomicUsize,
    pub replayed: Mutex<Vec<Replay>>,
    pub answers: Recording,
}

impl FlakyStore {
    pub fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    pub fn sent(&self) -> usize {
        self.0.sent.load(Ordering::SeqCst)
    }

    /// What has been replayed: the id, and how many admissions.
    pub fn replayed(&self) -> Vec<(String, usize)> {
        let replayed = self.0.replayed.lock().unwrap();
        let entries = replayed
            .iter()
            .map(|r| (r.id.as_str().to_owned(), r.ages.len()));
        entries.collect()
    }

    fn available(&self) -> Result<(), StoreError> {
        match self.0.away.load(Ordering::SeqCst) {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl Store for FlakyStore {
    async fn run(&self, scope: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0.sent.fetch_add(1, Ordering::SeqCst);
        match self.available() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => self.0.answers.run(scope, requests).await,
        }
    }

    async fn probe(&self, _: &Scope, _: usize) -> Result<(), StoreError> {
        self.0.probes.fetch_add(1, Ordering::SeqCst);
        self.available()
    }

    async fn replay(
        &self,
        _: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.0.replaying.fetch_add(1, Ordering::SeqCst);
        if self.0.held.load(Ordering::SeqCst) {
            self.0.go_on.notified().await;
        }
        self.available()?;
        if self.0.full.load(Ordering::SeqCst) {
            let full = StoreError::new(ErrorKind::Oom, "full");
            return Ok(vec![Err(full); replays.len()]);
        }
        self.0.replayed.lock().unwrap().extend_from_slice(replays);
        if self.0.loses_replies.load(Ordering::SeqCst) {
            return Err(StoreError::new(
                ErrorKind::Disconnected,
                "gone before it answered",
            ));
        }
        Ok(vec![Ok(()); replays.len()])
    }
}

/// A limiter over a store, and its answers.
pub struct Outage {
    pub store: FlakyStore,
    pub limiter: Limiter<Collector>,
    pub answers: UnboundedReceiver<Settled>,
}

impl Outage {
    pub fn new(policy: OnStoreError) -> Self {
        let store = FlakyStore::default();
        let (limiter, answers) = limiter(&Handle::current(), store.clone(), policy, DEADLINE);
        Self {
            store,
            limiter,
            answers,
        }
    }

    pub async fn ask(&mut self, op: Op, who: &str) -> Result<Source, ErrorKind> {
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
    pub async fn go_away(&mut self) {
        self.store.set_away(true);
        for _ in 0..3 {
            let _ = self.ask(Op::Check, "1").await;
        }
    }

    /// Checks until the store decides.
    pub async fn come_back(&mut self) {
        self.store.set_away(false);
        let begun = Instant::now();
        while self.ask(Op::Check, "2").await != Ok(Source::Redis) {
            assert!(begun.elapsed() < PATIENT);
            sleep(Duration::from_millis(10)).await;
        }
    }
}
