//! Present values of an open limiter.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::store::named_enum;

named_enum! {
    /// The state of a circuit breaker, from best to worst.
    #[derive(PartialOrd, Ord, Default)]
    pub enum BreakerState {
        /// Requests are sent.
        #[default]
        Closed = "closed",
        /// A probe or a replay is in flight.
        HalfOpen = "half-open",
        /// No request is sent.
        Open = "open",
    }
    /// The name in the public interface.
    => name
}

/// Values of one limiter and shard, which the limiter updates and snapshots read.
#[derive(Debug, Default)]
pub struct Gauge {
    in_flight: AtomicUsize,
    breaker: AtomicU8,
}

impl Gauge {
    /// Sets the number of unanswered requests and the state of the breaker.
    pub(crate) fn set(&self, in_flight: usize, breaker: BreakerState) {
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.breaker.store(breaker as u8, Ordering::Relaxed);
    }

    /// The number of unanswered requests.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The state of the breaker.
    pub fn breaker(&self) -> BreakerState {
        let breaker = usize::from(self.breaker.load(Ordering::Relaxed));
        BreakerState::ALL.get(breaker).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_returns_what_was_set_last() {
        let gauge = Gauge::default();
        assert_eq!(
            (gauge.in_flight(), gauge.breaker()),
            (0, BreakerState::Closed)
        );
        for state in BreakerState::ALL {
            gauge.set(3, state);
            assert_eq!((gauge.in_flight(), gauge.breaker()), (3, state));
        }
    }
}
