//! Whether the store is away for a limiter: from the moment the breaker of one of its shards opens until all of them are closed.
//!
//! Time is passed in.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A change of the store's state, as one limiter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChange {
    /// No breaker was open, and now one is.
    Away {
        /// The code of the error that opened it.
        code: &'static str,
        /// Host and port of the primary, where it is known.
        shard: Option<String>,
    },
    /// All breakers are closed again.
    Back {
        /// How long at least one was open.
        lasted: Duration,
        /// Checks that the policy decided or rejected meanwhile.
        decided: u64,
    },
}

/// The shards of a store that are away for one limiter.
#[derive(Debug, Default)]
pub(super) struct Availability {
    state: Mutex<State>,
    /// Checks that the policy has decided or rejected so far.
    decided: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    away: BTreeSet<usize>,
    /// When the first of them became unavailable, and the value of `decided` at that moment.
    since: Option<(Instant, u64)>,
    /// The limiter has been closed.
    closed: bool,
}

impl Availability {
    /// Counts a check that the policy has decided.
    pub(super) fn decided(&self) {
        self.decided.fetch_add(1, Ordering::Relaxed);
    }

    /// The breaker of `shard` is open at `now`. Calls `away` if the store was not away before: under the lock, so that
    /// changes are reported in their order. Returns whether the breaker was closed until now.
    pub(super) fn opened(&self, shard: usize, now: Instant, away: impl FnOnce()) -> bool {
        let mut state = self.state.lock();
        if state.closed || !state.away.insert(shard) {
            return false;
        }
        if state.since.is_none() {
            state.since = Some((now, self.decided.load(Ordering::Relaxed)));
            away();
        }
        true
    }

    /// The breaker of `shard` is closed at `now`. If it was the last open one, calls `back`, under the lock, with the length of
    /// the outage and the number of checks decided meanwhile.
    pub(super) fn closed(&self, shard: usize, now: Instant, back: impl FnOnce(Duration, u64)) {
        let mut state = self.state.lock();
        if !state.away.remove(&shard) || !state.away.is_empty() {
            return;
        }
        if let Some((since, before)) = state.since.take() {
            let decided = self.decided.load(Ordering::Relaxed) - before;
            back(now.saturating_duration_since(since), decided);
        }
    }

    /// The limiter is closed, and reports no further changes. Returns whether the store was away for it.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        state.away.clear();
        state.since.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opens(store: &Availability, shard: usize, now: Instant) -> bool {
        let mut changed = false;
        store.opened(shard, now, || changed = true);
        changed
    }

    fn closes(store: &Availability, shard: usize, now: Instant) -> Option<(Duration, u64)> {
        let mut change = None;
        store.closed(shard, now, |lasted, decided| {
            change = Some((lasted, decided))
        });
        change
    }

    #[test]
    fn away_with_the_first_shard_and_back_with_the_last() {
        let (store, begun) = (Availability::default(), Instant::now());
        store.decided();
        assert!(opens(&store, 2, begun));
        store.decided();
        assert!(!opens(&store, 0, begun + SECOND));
        assert!(!opens(&store, 2, begun + SECOND), "it is away already");
        store.decided();
        assert_eq!(closes(&store, 2, begun + 2 * SECOND), None);
        assert!(!opens(&store, 2, begun + 3 * SECOND), "it is still away");
        assert_eq!(closes(&store, 2, begun + 4 * SECOND), None);
        assert_eq!(
            closes(&store, 0, begun + 5 * SECOND),
            Some((5 * SECOND, 2)),
            "checks decided before the outage do not count"
        );
        assert_eq!(closes(&store, 0, begun + 6 * SECOND), None);
    }

    #[test]
    fn each_outage_is_counted_from_zero() {
        let (store, begun) = (Availability::default(), Instant::now());
        for outage in 1..4_u32 {
            let at = begun + outage * 10 * SECOND;
            assert!(opens(&store, 0, at));
            (0..outage).for_each(|_| store.decided());
            let back = closes(&store, 0, at + outage * SECOND);
            assert_eq!(back, Some((outage * SECOND, u64::from(outage))));
        }
    }

    #[test]
    fn a_closed_limiter_reports_nothing() {
        let (store, begun) = (Availability::default(), Instant::now());
        assert!(opens(&store, 1, begun));
        assert!(store.close());
        assert_eq!(closes(&store, 1, begun + SECOND), None);
        assert!(!opens(&store, 1, begun + SECOND));
        assert!(!store.close());
    }
}
