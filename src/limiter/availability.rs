//! Whether the store is away for a limiter: from the moment the breaker of one of its shards opens until all of them are closed.
//!
//! Time is passed in.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

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
    away: BTreeSet<usize>,
    /// When the first of them became unavailable, and the value of `decided` at that moment.
    since: Option<(Instant, u64)>,
    /// Checks that the policy has decided or rejected so far.
    decided: u64,
    /// The limiter has been closed.
    closed: bool,
}

/// What the opening of a shard's breaker changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// Nothing: it was open already, or the limiter is closed.
    Nothing,
    /// The store was away already, because of another shard.
    Shard,
    /// The store was not away before.
    Store,
}

impl Availability {
    /// Counts a check that the policy has decided.
    pub(super) fn decided(&mut self) {
        self.decided += 1;
    }

    /// The breaker of `shard` is open at `now`.
    pub(super) fn opened(&mut self, shard: usize, now: Instant) -> Opened {
        if self.closed || !self.away.insert(shard) {
            return Opened::Nothing;
        }
        if self.since.is_some() {
            return Opened::Shard;
        }
        self.since = Some((now, self.decided));
        Opened::Store
    }

    /// The breaker of `shard` is closed at `now`. If it was the last open one, returns the length of the outage and the number of
    /// checks decided meanwhile.
    pub(super) fn closed(&mut self, shard: usize, now: Instant) -> Option<(Duration, u64)> {
        if !self.away.remove(&shard) || !self.away.is_empty() {
            return None;
        }
        let (since, before) = self.since.take()?;
        Some((now.saturating_duration_since(since), self.decided - before))
    }

    /// The limiter is closed, and reports no further changes. Returns whether the store was away for it.
    pub(super) fn close(&mut self) -> bool {
        self.closed = true;
        self.away.clear();
        self.since.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn away_with_the_first_shard_and_back_with_the_last() {
        let (mut store, begun) = (Availability::default(), Instant::now());
        store.decided();
        assert_eq!(store.opened(2, begun), Opened::Store);
        store.decided();
        assert_eq!(store.opened(0, begun + SECOND), Opened::Shard);
        assert_eq!(store.opened(2, begun + SECOND), Opened::Nothing);
        store.decided();
        assert_eq!(store.closed(2, begun + 2 * SECOND), None);
        // It is still away.
        assert_eq!(store.opened(2, begun + 3 * SECOND), Opened::Shard);
        assert_eq!(store.closed(2, begun + 4 * SECOND), None);
        assert_eq!(
            store.closed(0, begun + 5 * SECOND),
            Some((5 * SECOND, 2)),
            "checks decided before the outage do not count"
        );
        assert_eq!(store.closed(0, begun + 6 * SECOND), None);
    }

    #[test]
    fn each_outage_is_counted_from_zero() {
        let (mut store, begun) = (Availability::default(), Instant::now());
        for outage in 1..4_u32 {
            let at = begun + outage * 10 * SECOND;
            assert_eq!(store.opened(0, at), Opened::Store);
            (0..outage).for_each(|_| store.decided());
            let back = store.closed(0, at + outage * SECOND);
            assert_eq!(back, Some((outage * SECOND, u64::from(outage))));
        }
    }

    #[test]
    fn a_closed_limiter_reports_nothing() {
        let (mut store, begun) = (Availability::default(), Instant::now());
        assert_eq!(store.opened(1, begun), Opened::Store);
        assert!(store.close());
        assert_eq!(store.closed(1, begun + SECOND), None);
        assert_eq!(store.opened(1, begun + SECOND), Opened::Nothing);
        assert!(!store.close());
    }
}
