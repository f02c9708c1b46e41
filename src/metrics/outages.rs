//! How often the store was away, and for how long, for at least one of the limiters that count together.

use std::time::Duration;

use tokio::time::Instant;

/// What is counted of the store's state.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// The limiters that it is away for.
    limiters: usize,
    /// When the first of them went.
    since: Option<Instant>,
    count: u64,
    /// Of the outages that are over.
    time: Duration,
}

impl Outages {
    /// It has gone away for one more limiter.
    pub(super) fn away(&mut self, now: Instant) {
        self.limiters += 1;
        if self.limiters == 1 {
            self.count += 1;
            self.since = Some(now);
        }
    }

    /// It is no longer away for one of them.
    pub(super) fn back(&mut self, now: Instant) {
        self.limiters = self.limiters.saturating_sub(1);
        if self.limiters == 0 {
            self.time += self.open(now);
            self.since = None;
        }
    }

    /// Whether it is away, how often it has gone, and for how long it was or has been, in all.
    pub(super) fn snapshot(&self, now: Instant) -> (bool, u64, Duration) {
        let time = self.time + self.open(now);
        (self.limiters > 0, self.count, time)
    }

    /// How long the present outage has lasted.
    fn open(&self, now: Instant) -> Duration {
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
