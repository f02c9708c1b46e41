//! Time. Every decision is handed the time of its store, and reads no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds: since the Unix epoch for a moment, plain for a span.
pub type Millis = u64;

/// The clock of a store.
pub trait Clock: Send + Sync {
    /// The current moment, in Unix milliseconds.
    fn now(&self) -> Millis;
}

/// The clock of the in-process stores: Unix time read once, then advanced by the monotonic clock. An adjustment of the
/// machine's clock neither frees a slot early nor locks an id out.
#[derive(Debug, Clone)]
pub struct StoreClock(Source);

#[derive(Debug, Clone)]
enum Source {
    Monotonic { started: Instant, epoch: Duration },
    Manual(Arc<ManualClock>),
}

impl StoreClock {
    /// Starts at the machine's current time.
    pub fn new() -> Self {
        // On a machine whose clock is set before 1970 it still advances.
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(Source::Monotonic {
            started: Instant::now(),
            epoch,
        })
    }

    /// Follows `clock`: for tests in virtual time.
    pub fn manual(clock: Arc<ManualClock>) -> Self {
        Self(Source::Manual(clock))
    }
}

impl Default for StoreClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Millis {
        match &self.0 {
            // 2^64 ms are 584 million years: the cast cannot truncate.
            Source::Monotonic { started, epoch } => {
                (*epoch + started.elapsed()).as_millis() as Millis
            }
            Source::Manual(clock) => clock.now(),
        }
    }
}

/// A clock for tests, which set it and move it forwards or backwards.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Starts at `now` Unix milliseconds.
    pub fn at(now: Millis) -> Self {
        Self(AtomicU64::new(now))
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }

    /// Moves the clock on by `span`.
    pub fn advance(&self, span: Millis) {
        self.0.fetch_add(span, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Millis {
        (**self).now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_return_unix_milliseconds_and_a_manual_one_what_it_is_set_to() {
        let unix = || UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
        let before = unix();
        let now = StoreClock::new().now();
        assert!((before..=unix() + 1).contains(&now), "{now}");
        let clock = ManualClock::at(10);
        clock.advance(5);
        assert_eq!(clock.now(), 15);
        clock.set(3);
        assert_eq!(clock.now(), 3);
        let clock = Arc::new(clock);
        let store = StoreClock::manual(Arc::clone(&clock));
        clock.set(7);
        assert_eq!(store.now(), 7);
    }
}
