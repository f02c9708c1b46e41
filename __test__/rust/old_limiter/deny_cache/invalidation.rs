//! A denial is not cached across a replay: with the admissions that the store gets, the slot may free later than promised.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use huntaze_rate_limit::old_limiter::{Limiter, OnStoreError, Source, Times};
use huntaze_rate_limit::quota::{AnomalyStatus, Decision, Outcome, Verdict};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, Store, StoreError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::old_limiter::flaky_store::PATIENT;
use crate::old_limiter::test_doubles::{collector, fallback, hour, metrics};
use crate::requests::{request, scope};

const DENIED: &str = "7";
const FAILING: &str = "1";

/// Denies one id, once for each permit, and fails for the other.
#[derive(Clone)]
struct GatedStore(Arc<State>);

struct State {
    /// How many denials may leave.
    denials: Semaphore,
    asked: AtomicUsize,
    replays: Semaphore,
}

impl GatedStore {
    fn new() -> Self {
        Self(Arc::new(State {
            denials: Semaphore::new(0),
            asked: AtomicUsize::new(0),
            replays: Semaphore::new(0),
        }))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    async fn replayed(&self) {
        let replay = timeout(PATIENT, self.0.replays.acquire()).await;
        replay.unwrap().unwrap().forget();
    }
}

impl Store for GatedStore {
    async fn run(&self, _: &Scope, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let mut answers = Vec::new();
        for request in requests {
            if request.id.as_str() == FAILING {
                answers.push(Err(StoreError::new(ErrorKind::Refused, "away")));
                continue;
            }
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            self.0.denials.acquire().await.unwrap().forget();
            answers.push(Ok(denied()));
        }
        answers
    }

    async fn replay(
        &self,
        _: &Scope,
        replays: &[Replay],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.0.replays.add_permits(1);
        Ok(vec![Ok(()); replays.len()])
    }
}

fn denied() -> Outcome {
    let retry_after = NonZeroU64::new(3_600_000).unwrap();
    Outcome {
        decision: Decision {
            verdict: Verdict::Denied { retry_after },
            remaining: 0,
            reset: 0,
            reset_after: 0,
        },
        anomaly_status: AnomalyStatus::None,
    }
}

#[tokio::test]
async fn a_denial_in_flight_during_a_replay_is_not_cached() {
    let store = GatedStore::new();
    let (sink, mut answers) = collector();
    let times = Times {
        deadline: PATIENT,
        deny_cache: Duration::from_secs(60),
    };
    let limiter = Limiter::remote(
        &Handle::current(),
        Arc::new(store.clone()),
        scope("t", hour()),
        times,
        fallback(OnStoreError::Local),
        sink,
        metrics(),
    );
    let ask = |who| limiter.submit(request(Op::Check, who, 5), 0);
    let mut answer = async || {
        let answer = timeout(PATIENT, answers.recv()).await.unwrap().unwrap();
        answer.1.unwrap().source
    };

    // Without a replay in between the second request is a hit.
    store.0.denials.add_permits(1);
    assert!(ask(DENIED).is_none());
    assert_eq!(answer().await, Source::Redis);
    assert_eq!(ask(DENIED).unwrap().1.source, Source::DenyCache);

    // A replay invalidates the cache.
    assert!(ask(FAILING).is_none());
    assert_eq!(answer().await, Source::Local);
    store.replayed().await;
    let again = ask(DENIED);
    assert!(again.is_none(), "{again:?}");
    let asked = async {
        while store.asked() < 2 {
            yield_now().await;
        }
    };
    timeout(PATIENT, asked).await.unwrap();

    // That request is still in flight during the next replay.
    assert!(ask(FAILING).is_none());
    assert_eq!(answer().await, Source::Local);
    store.replayed().await;
    store.0.denials.add_permits(2);
    assert_eq!(answer().await, Source::Redis);
    let again = ask(DENIED);
    assert!(again.is_none(), "{again:?}");
    assert_eq!(answer().await, Source::Redis);
    assert_eq!(store.asked(), 3);
}
