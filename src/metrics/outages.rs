//! Outages: how often and how long the store was away for at least one limiter of a name.

use std::time::{Duration, Instant};

/// The outages of one store, as the limiters of one name see them.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// The number of limiters for which it is away.
    limiters: usize,
    /// When the present outage began.
    since: Option<Instant>,
    count: u64,
    /// The total length of past outages.
    time: Duration,
}

impl Outages {
    /// The store is away for one more limiter.
    pub(super) fn away(&mut self, now: Instant) {
        self.limiters += 1;
        if self.limiters == 1 {
            self.count += 1;
            self.since = Some(now);
        }
    }

    /// The store is no longer away for one of the limiters.
    pub(super) fn back(&mut self, now: Instant) {
        self.limiters = self.limiters.saturating_sub(1);
        if self.limiters == 0 {
            self.time += self.present(now);
            self.since = None;
        }
    }

    /// Whether the store is away, the number of outages, and their total length, the present one included.
    pub(super) fn snapshot(&self, now: Instant) -> (bool, u64, Duration) {
        let time = self.time + self.present(now);
        (self.limiters > 0, self.count, time)
    }

    /// The length of the present outage.
    fn present(&self, now: Instant) -> Duration {
        self.since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_of_several_limiters_that_overlap_are_one() {
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let mut outages = Outages::default();
        assert_eq!(outages.snapshot(begun), (false, 0, Duration::ZERO));
        outages.away(begun);
        outages.away(begun + second);
        outages.back(begun + 2 * second);
        assert_eq!(outages.snapshot(begun + 3 * second), (true, 1, 3 * second));
        outages.back(begun + 4 * second);
        assert_eq!(outages.snapshot(begun + 9 * second), (false, 1, 4 * second));
        outages.away(begun + 10 * second);
        outages.back(begun + 11 * second);
        assert_eq!(
            outages.snapshot(begun + 12 * second),
            (false, 2, 5 * second)
        );
    }
}
