//! Finds the store again, and tells it what was decided without it: in that order, and before requests are sent, so that an
//! outage grants nobody a second quota.

use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::Route;
use super::flight::says_away;
use super::lane::Lane;
use super::settler::late;
use crate::old_limiter::CompletionSink;
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::{Replay, Store, StoreError};

/// Probes in a row that must succeed.
const PROBES: u32 = 2;

/// How long a probe may take where a check has less: the deadline may be too short for any store.
const PROBE: Duration = Duration::from_millis(250);

/// How long one call of a replay may take, if a check has less: it is larger, and may have to bring the script along.
const CALL: Duration = Duration::from_secs(1);

/// After a replay that failed while requests are answered: half to all of this, and each time twice as much.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is looked whether another limiter of the name has told all.
const LOOK: Duration = Duration::from_millis(10);

/// The longest that requests wait for a replay. It takes some 30 us an id: what all the logs of a process hold is told in a
/// few seconds. What is left then follows while requests are sent.
const TELLING: Duration = Duration::from_secs(30);

/// How a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The store knows all that was decided here.
    All,
    /// It does not take the rest for now.
    Some,
    /// It is away.
    Nothing,
}

/// Asks until the store decides and knows what was decided here.
pub(super) async fn recover<K: CompletionSink, S: Store>(lane: &Lane<K>, route: &Route<S>) {
    let known = || route.store.connected(lane.shard, u64::MAX).now_or_never();
    let mut last = known().unwrap_or_default();
    let mut early = true;
    let mut pause = PAUSE;
    let mut taken = false;
    loop {
        let asked = lane.is_open();
        if asked {
            let wait = lane.wait();
            if taken {
                // It has just taken a replay that was under way when the breaker opened: over a new connection.
            } else if early
                && timeout(wait, route.store.connected(lane.shard, last))
                    .await
                    .is_ok()
            {
                // Sooner, since there is a new connection; but not with each. A server that lets in and does not decide is
                // asked once a second.
                early = false;
                lane.encouraged();
            } else if !early {
                sleep(wait).await;
                early = true;
            }
            taken = false;
            last = known().unwrap_or(last);
            lane.probing(true);
            if let Err(error) = probe(lane, route).await {
                lane.still_away(error);
                continue;
            }
        }
        let (told, progress) = replay(lane, route).await;
        taken = progress && !asked;
        // Only what has been probed: it may have opened meanwhile.
        if asked && told != Told::Nothing {
            lane.recovered();
        } else {
            lane.probing(false);
        }
        if told == Told::All && !(taken && lane.is_open()) {
            return;
        }
        if progress {
            pause = PAUSE;
        }
        if !lane.is_open() {
            let pausing = sleep(pause.mul_f64(1.0 - fastrand::f64() / 2.0));
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::select! {
                () = pausing => {}
                () = lane.opened.notified() => {}
            }
        }
    }
}

async fn probe<K: CompletionSink, S: Store>(
    lane: &Lane<K>,
    route: &Route<S>,
) -> Result<(), StoreError> {
    for _ in 0..PROBES {
        let answer = route.store.probe(&route.scope, lane.shard);
        let answer = Budget::new(lane.timeout.max(PROBE)).within(answer).await;
        answer.unwrap_or_else(|| Err(late()))?;
    }
    Ok(())
}

/// How it ended, and whether the store has taken anything.
async fn replay<K: CompletionSink, S: Store>(lane: &Lane<K>, route: &Route<S>) -> (Told, bool) {
    let begun = Instant::now();
    let mut progress = false;
    while begun.elapsed() < TELLING {
        route.sort(&lane.settler);
        let Some(local) = lane.settler.fallback.local_to_replay(lane.shard) else {
            return (Told::All, progress);
        };
        // Another limiter of this name is at it, or it has just been.
        let Some(replaying) = local.journal.replay(lane.shard) else {
            sleep(LOOK).await;
            continue;
        };
        let mut call = replaying.take(&local.logs);
        if call.replays().is_empty() {
            continue;
        }
        let told = tell(lane, route, call.replays()).await;
        let (results, in_time) = match told {
            Ok(told) => told,
            Err(error) => {
                call.retain_unconfirmed(&vec![Err(error); call.replays().len()]);
                return (Told::Nothing, progress);
            }
        };
        let all = results.iter().all(Result::is_ok);
        let some = results.iter().any(Result::is_ok);
        progress |= some;
        if some {
            lane.told();
        }
        call.retain_unconfirmed(&results);
        if results.iter().all(says_away) {
            return (Told::Nothing, progress);
        }
        // What was late is on its way to another shard, and is told once more, with others that are nearer.
        if in_time && !all && !call.replays().is_empty() {
            return (Told::Some, progress);
        }
    }
    (Told::Some, progress)
}

/// A result each, and whether all have come in time. Those that have not are in doubt, and no others.
///
/// # Errors
/// As [`Store::replay_streaming`].
async fn tell<K: CompletionSink, S: Store>(
    lane: &Lane<K>,
    route: &Route<S>,
    replays: &[Replay],
) -> Result<(Vec<Result<(), StoreError>>, bool), StoreError> {
    let results = Mutex::new(vec![Err(late()); replays.len()]);
    let lock = || results.lock();
    let land = |places: &[usize], told: Vec<_>| {
        let mut results = lock();
        for (&place, told) in places.iter().zip(told) {
            if let Some(result) = results.get_mut(place) {
                *result = told;
            }
        }
    };
    let telling = route.store.replay_streaming(&route.scope, replays, land);
    let budget = Budget::new(CALL.max(lane.timeout * 2));
    let in_time = budget.within(telling).await;
    let in_time = in_time.map_or(Ok(false), |told| told.map(|()| true))?;
    let results = std::mem::take(&mut *lock());
    Ok((results, in_time))
}
