//! A denial is not cached across a replay: with the admissions that the store gets, the slot may free later than promised.

use std::num::NonZeroU64;
use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source, Times};
use huntaze_rate_limit::quota::{AnomalyStatus, Decision, Outcome, Verdict};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, StoreError};

use crate::limiter::simulation::{FakeStore, ReplayReply, Reply, Setup, Simulation};
use crate::requests::request;

const DENIED: &str = "7";
const FAILING: &str = "1";

/// Denies one id, while its gate is open, and fails for the other.
#[derive(Default)]
struct GatedStore {
    open: bool,
    asked: usize,
    replays: usize,
}

impl FakeStore for GatedStore {
    fn on_batch(&mut self, requests: &[Request], _: usize) -> Reply {
        match requests[0].id.as_str() == FAILING || self.open {
            true => Reply::After(Duration::ZERO),
            false => Reply::Never,
        }
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let decide = |request: &Request| {
            if request.id.as_str() == FAILING {
                return Err(StoreError::new(ErrorKind::Refused, "away"));
            }
            self.asked += 1;
            Ok(denied())
        };
        requests.iter().map(decide).collect()
    }

    fn on_replay(&mut self, replays: &[Replay], _: usize) -> ReplayReply {
        self.replays += 1;
        ReplayReply::All(vec![Ok(()); replays.len()])
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

impl Simulation<GatedStore> {
    fn leaves(&mut self, who: &str) -> bool {
        self.submit(request(Op::Check, who, 5), 0).is_none()
    }

    fn next_source(&mut self) -> Source {
        self.recv().1.unwrap().source
    }
}

#[test]
fn a_denial_in_flight_during_a_replay_is_not_cached() {
    let minute = Duration::from_secs(60);
    let setup = Setup {
        times: Times {
            deadline: minute,
            deny_cache: minute,
        },
        ..Setup::new(OnStoreError::Local, minute)
    };
    let mut it = setup.over(GatedStore::default());
    let tick = Duration::from_millis(1);

    // Without a replay in between the second request is a hit.
    it.store.open = true;
    assert!(it.leaves(DENIED));
    assert_eq!(it.next_source(), Source::Redis);
    let (_, hit) = it.submit(request(Op::Check, DENIED, 5), 0).unwrap();
    assert_eq!(hit.source, Source::DenyCache);

    // A replay invalidates the cache.
    assert!(it.leaves(FAILING));
    assert_eq!(it.next_source(), Source::Local);
    it.run(tick);
    assert_eq!(it.store.replays, 1);
    it.store.open = false;
    assert!(it.leaves(DENIED));
    assert_eq!(it.store.asked, 1);

    // That request is still in flight during the next replay.
    assert!(it.leaves(FAILING));
    assert_eq!(it.next_source(), Source::Local);
    it.run(tick);
    assert_eq!(it.store.replays, 2);
    it.store.open = true;
    it.ask_again();
    assert_eq!(it.next_source(), Source::Redis);
    assert!(it.leaves(DENIED));
    assert_eq!(it.next_source(), Source::Redis);
    assert_eq!(it.store.asked, 3);
}
