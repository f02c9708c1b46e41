//! Moments that the engine is handed, and the timers that it asks for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

/// One moment, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Never goes back.
    pub steady: Instant,
    /// Goes on while a virtual machine is suspended.
    pub wall: SystemTime,
}

impl Moment {
    /// The time since `earlier`, by the clock on which more has passed. A wall clock that was set back is ignored.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let steady = self.steady.saturating_duration_since(earlier.steady);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        steady.max(wall)
    }
}

/// The timers of the engine's components, by the component's key: at most one for each, which the component remembers.
///
/// A timer may be earlier than what its component waits for, which then sets it anew: so a later moment costs nothing.
#[derive(Debug)]
pub(super) struct Timers<K>(BTreeSet<(Instant, K)>);

impl<K: Ord + Copy> Timers<K> {
    pub(super) fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Makes sure that the component `key`, whose timer is `earliest`, has one at `at` or before.
    pub(super) fn set(&mut self, earliest: &mut Option<Instant>, at: Instant, key: K) {
        if earliest.is_some_and(|earliest| earliest <= at) {
            return;
        }
        if let Some(later) = earliest.replace(at) {
            self.0.remove(&(later, key));
        }
        self.0.insert((at, key));
    }

    /// The moment of the next timer.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes the key of the next timer that has fired by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }
}

/// Forgets the earliest timer of a component if it has fired by `now`.
pub(super) fn fired(earliest: &mut Option<Instant>, now: Instant) {
    if earliest.is_some_and(|at| at <= now) {
        *earliest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_one_timer_which_only_moves_earlier() {
        let (start, ms) = (Instant::now(), Duration::from_millis(1));
        let mut timers = Timers::new();
        let (mut one, mut two) = (None, None);
        timers.set(&mut one, start + 5 * ms, 1);
        timers.set(&mut one, start + 9 * ms, 1);
        timers.set(&mut two, start + 7 * ms, 2);
        timers.set(&mut one, start + 2 * ms, 1);
        assert_eq!(timers.next(), Some(start + 2 * ms));
        assert_eq!(timers.pop(start + ms), None);
        assert_eq!(timers.pop(start + 9 * ms), Some(1));
        fired(&mut one, start + 9 * ms);
        assert_eq!(one, None);
        assert_eq!(timers.pop(start + 9 * ms), Some(2));
        assert_eq!(timers.pop(start + 9 * ms), None);
    }
}
