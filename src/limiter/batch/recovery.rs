//! Finds the store again, and tells it what was decided without it: in that order, and before requests are sent, so that an
//! outage grants nobody a second quota.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::Route;
use super::lane::Lane;
use crate::limiter::{Local, Replaying, Sink};
use crate::store::{ErrorKind, Replay, Store, StoreError};

/// Probes in a row that must succeed.
const PROBES: u32 = 2;

/// How long a probe may take where a check has less: the deadline may be too short for any store.
const PROBE: Duration = Duration::from_millis(250);

/// How long one call of a replay may take.
const CALL: Duration = Duration::from_secs(1);

/// After a replay that failed while requests are answered.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest that requests wait for a replay. It takes some 30 us an id: what all the logs of a process hold is told in a
/// few seconds. What is left then follows while requests are sent.
const TELLING: Duration = Duration::from_secs(5);

/// How a replay ended.
enum Told {
    /// The store knows all that was decided here.
    All,
    /// It does not take the rest for now.
    Some,
    /// It is away.
    Nothing,
}

/// Asks until the store decides and knows what was decided here.
pub(super) async fn recover<K: Sink, S: Store>(lane: &Lane<K>, route: &Route<S>) {
    let known = route.store.reached(u64::MAX).now_or_never();
    let mut known = known.unwrap_or_default();
    loop {
        if lane.is_open() {
            // Sooner where there is a new connection.
            let again = timeout(lane.wait(), route.store.reached(known)).await;
            known = again.unwrap_or(known);
            if !decides(lane, route).await {
                continue;
            }
        }
        match replay(lane, route).await {
            Told::All => return lane.recovered(),
            Told::Some => {
                lane.recovered();
                sleep(PAUSE).await;
            }
            Told::Nothing if lane.is_open() => {}
            Told::Nothing => sleep(PAUSE).await,
        }
    }
}

async fn decides<K: Sink, S: Store>(lane: &Lane<K>, route: &Route<S>) -> bool {
    for _ in 0..PROBES {
        let probe = route.store.probe(&route.scope);
        match timeout(lane.timeout.max(PROBE), probe).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    true
}

async fn replay<K: Sink, S: Store>(lane: &Lane<K>, route: &Route<S>) -> Told {
    let Some(local) = lane.settler.fallback.noted() else {
        return Told::All;
    };
    // Another limiter of this name is at it.
    let Some(replaying) = local.journal.replay() else {
        return Told::All;
    };
    let begun = Instant::now();
    let mut told = Told::All;
    while begun.elapsed() < TELLING {
        let mut call = Call::take(local, &replaying);
        if call.replays.is_empty() {
            break;
        }
        let answers = route.store.replay(&route.scope, &call.replays);
        let Ok(results) = timeout(CALL, answers).await else {
            return Told::Nothing;
        };
        if results
            .iter()
            .all(|r| matches!(r, Err(e) if e.means_away()))
        {
            return Told::Nothing;
        }
        if call.keep(&results) {
            told = Told::Some;
            break;
        }
    }
    told
}

/// Replays on their way. Those that have not been taken when it is dropped, however that comes, are noted again: what may
/// have been taken, too, since counting it twice is strict and not counting it would not be.
struct Call<'a> {
    local: &'a Local,
    replaying: &'a Replaying<'a>,
    replays: Vec<Replay>,
}

impl<'a> Call<'a> {
    fn take(local: &'a Local, replaying: &'a Replaying<'a>) -> Self {
        Self {
            local,
            replaying,
            replays: replaying.take(&local.logs),
        }
    }

    /// Keeps what the store may take later, and says whether there is any. A key that is somebody else's never will.
    fn keep(&mut self, results: &[Result<(), StoreError>]) -> bool {
        let mut results = results.iter();
        self.replays.retain(|_| {
            let result = results.next();
            matches!(result, Some(Err(error)) if error.kind() != ErrorKind::WrongType)
        });
        !self.replays.is_empty()
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.replays);
        if !left.is_empty() {
            self.replaying.put_back(&self.local.logs, left.into_iter());
        }
    }
}
