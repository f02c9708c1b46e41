//! A time limit that counts only while this process runs.
//!
//! A process that was stopped (SIGSTOP, a frozen Lambda, a paused container) finds its timers expired when it continues, before
//! it has read the replies that arrived meanwhile. A plain timeout would then blame a server that replied long ago.
//!
//! Time is passed in.

use std::time::{Duration, Instant};

/// Time is counted in steps of a fifth of the whole, of 50 ms at most. A step that took more than twice its length counts
/// twice: a busy machine delays a timer by some 10 ms.
const STEPS: u32 = 5;
const LONGEST_STEP: Duration = Duration::from_millis(50);
const SHORTEST_STEP: Duration = Duration::from_millis(1);

/// A busy machine, or a used-up CPU quota, delays a process by some 100 ms. A longer gap means that the process was stopped.
const STOP: Duration = Duration::from_millis(250);

/// A time limit. Whoever holds it calls [`left`](Self::left) no later than at [`next`](Self::next): time between two calls counts
/// for two steps at most.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    whole: Duration,
    step: Duration,
    left: Duration,
    counted_at: Instant,
    was_stopped: bool,
}

impl Budget {
    /// A budget that begins at `now`.
    pub(crate) fn new(whole: Duration, now: Instant) -> Self {
        Self {
            whole,
            step: (whole / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP),
            left: whole,
            counted_at: now,
            was_stopped: false,
        }
    }

    /// The whole budget.
    pub(crate) fn whole(&self) -> Duration {
        self.whole
    }

    /// Counts the time since the last call, and returns what is left.
    pub(crate) fn left(&mut self, now: Instant) -> Duration {
        let most = self.step * 2;
        let passed = now.saturating_duration_since(self.counted_at);
        self.counted_at = self.counted_at.max(now);
        self.left = self.left.saturating_sub(passed.min(most));
        self.was_stopped |= passed > most.max(STOP);
        self.left
    }

    /// Whether it has ended at `now`.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    /// When the time has to be counted next: at the end of the step, or of the budget.
    pub(crate) fn next(&self) -> Instant {
        self.counted_at + self.step.min(self.left)
    }

    /// Whether the process was stopped between two counts.
    pub(crate) fn was_stopped(&self) -> bool {
        self.was_stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_millis(800);

    /// Counts at each step from `begun` on, and returns when the budget ends.
    fn end(budget: &mut Budget, begun: Instant) -> Instant {
        let mut now = begun;
        while !budget.is_over(now) {
            now = budget.next();
        }
        now
    }

    #[test]
    fn a_budget_ends_when_its_time_has_passed() {
        let begun = Instant::now();
        let mut budget = Budget::new(WHOLE, begun);
        assert_eq!(end(&mut budget, begun), begun + WHOLE);
        assert!(!budget.was_stopped());
        assert_eq!(budget.whole(), WHOLE);
    }

    #[test]
    fn a_stop_costs_two_steps_at_most() {
        let begun = Instant::now();
        let mut budget = Budget::new(WHOLE, begun);
        let continued = begun + Duration::from_secs(3600);
        let ended = end(&mut budget, continued);
        assert_eq!(ended, continued + WHOLE - 2 * LONGEST_STEP);
        assert!(budget.was_stopped());
    }

    #[test]
    fn a_short_budget_survives_a_stop_too() {
        let begun = Instant::now();
        let mut budget = Budget::new(Duration::from_millis(50), begun);
        let continued = begun + Duration::from_secs(2);
        assert!(!budget.is_over(continued));
        assert!(!budget.is_over(continued + Duration::from_millis(20)));
    }

    #[test]
    fn a_busy_machine_is_no_stop() {
        let begun = Instant::now();
        let mut budget = Budget::new(WHOLE, begun);
        budget.left(begun + STOP);
        assert!(!budget.was_stopped());
    }

    /// Moments may come from several clocks that were read one after the other.
    #[test]
    fn an_earlier_moment_counts_nothing_twice() {
        let begun = Instant::now();
        let mut budget = Budget::new(WHOLE, begun);
        let ms = Duration::from_millis;
        assert_eq!(budget.left(begun + ms(20)), WHOLE - ms(20));
        assert_eq!(budget.left(begun + ms(10)), WHOLE - ms(20));
        assert_eq!(budget.left(begun + ms(30)), WHOLE - ms(30));
    }

    #[test]
    fn a_budget_of_nothing_is_over_at_once() {
        let now = Instant::now();
        assert!(Budget::new(Duration::ZERO, now).is_over(now));
    }
}
