//! The circuit breaker: stops sending requests to a store that fails.
//!
//! A closed breaker counts the outcomes of batches. It opens when several in a row fail, or half of the recent ones. While it
//! is open no request reaches the store: the fallback decides at once, and synthetic probes find out when the store answers
//! again. (Nygard, "Release It!", 2nd ed., 2018, "Circuit Breaker".)
//!
//! Time and chance are passed in.

use std::time::{Duration, Instant};

use crate::metrics::BreakerState;
use crate::planted::planted;
use crate::store::StoreError;

/// The number of failures in a row that opens it. One failure may be a broken connection, and two that connection and the one
/// that replaced it.
const CONSECUTIVE_FAILURES: u32 = 3;

/// It opens when half of the batches of the last 5 to 10 s have failed, if the failures are at least `MIN_FAILURES`, at
/// `MIN_MOMENTS` different moments.
const MIN_FAILURES: u32 = 10;
const MIN_MOMENTS: u32 = 3;
const WINDOW: Duration = Duration::from_secs(5);

/// A deadline that passes this much too late says nothing of the store: this process, or its machine, was suspended. A busy
/// machine delays a timer by some 10 ms.
const SUSPENDED: Duration = Duration::from_millis(500);

/// The bounds of the delay between two probes. The delay grows by half from probe to probe while nothing answers, since a new
/// connection then ends it earlier. A store that answers but cannot decide is probed about once a second: only a probe can
/// see it recover.
const MIN_PROBE_DELAY: Duration = Duration::from_secs(1);
const MAX_PROBE_DELAY: Duration = Duration::from_secs(30);

/// The breaker of one limiter for one shard of the store.
#[derive(Debug)]
pub(super) struct Breaker {
    deadline: Duration,
    /// The error that opened it; `None` while it is closed.
    open: Option<StoreError>,
    consecutive_failures: u32,
    /// The last failure that counted towards `consecutive_failures`.
    failed_at: Option<Instant>,
    answered_at: Option<Instant>,
    period: Option<Instant>,
    recent: [FailureWindow; 2],
    probes: u32,
    /// No probe has been sent since it was forced open.
    forced: bool,
    /// A probe is in flight, or the replay after it.
    half_open: bool,
}

/// The outcomes of the batches of one period.
#[derive(Debug, Clone, Copy, Default)]
struct FailureWindow {
    answered: u32,
    failed: u32,
    /// The number of moments at which they failed: batches in flight together fail at one moment.
    moments: u32,
}

impl Breaker {
    /// A closed breaker for batches that fail after `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            open: None,
            consecutive_failures: 0,
            failed_at: None,
            answered_at: None,
            period: None,
            recent: [FailureWindow::default(); 2],
            probes: 0,
            forced: false,
            half_open: false,
        }
    }

    /// The error for which no request may be sent; `None`: the breaker is closed.
    pub(super) fn reason(&self) -> Option<&StoreError> {
        self.open.as_ref()
    }

    /// Its state.
    pub(super) fn state(&self) -> BreakerState {
        match (&self.open, self.half_open) {
            (None, _) => BreakerState::Closed,
            (Some(_), true) => BreakerState::HalfOpen,
            (Some(_), false) => BreakerState::Open,
        }
    }

    /// Opens it with `error`, before any failure: nothing may be sent before a first probe, which needs no delay.
    pub(super) fn force_open(&mut self, error: StoreError) {
        self.open = Some(error);
        self.forced = true;
    }

    /// Sets whether a probe is in flight.
    pub(super) fn probing(&mut self, probing: bool) {
        self.half_open = probing;
    }

    /// Whether the store answered the last batch.
    pub(super) fn is_healthy(&self) -> bool {
        self.open.is_none() && self.consecutive_failures == 0
    }

    /// The store has answered a batch.
    pub(super) fn on_success(&mut self, now: Instant) {
        self.consecutive_failures = 0;
        self.answered_at = Some(now);
        self.current_window(now).answered += 1;
    }

    /// Whether an unanswered batch that was sent at `sent` counts as a failure of the store. A batch that queued here for long
    /// had little of its deadline left when it was sent, and says little about the store, unless the store has not answered
    /// any batch for long.
    pub(super) fn counts_as_failure(&self, sent: Instant, now: Instant) -> bool {
        let share = self.deadline / 2;
        let long = |since: Instant| now.saturating_duration_since(since) >= share;
        long(sent) || self.answered_at.is_some_and(long)
    }

    /// A batch that was sent at `sent` has failed. Returns whether that opens the breaker.
    pub(super) fn on_error(&mut self, sent: Instant, now: Instant, error: &StoreError) -> bool {
        if self.open.is_some() {
            return false;
        }
        if now.duration_since(sent) >= self.deadline + SUSPENDED && !planted!(FreezeIsFailure) {
            return false;
        }
        // Batches in flight together fail together: in the row that is one failure.
        let new = self.failed_at.is_none_or(|failed_at| sent >= failed_at);
        if new {
            self.failed_at = Some(now);
            self.consecutive_failures += 1;
        }
        let window = self.current_window(now);
        window.failed += 1;
        window.moments += u32::from(new);
        if self.consecutive_failures >= CONSECUTIVE_FAILURES || self.fails_often() {
            self.open = Some(error.clone());
            self.half_open = false;
            self.probes = 0;
            return true;
        }
        false
    }

    /// A probe has failed: the store is still away, now because of `error`.
    pub(super) fn on_probe_failure(&mut self, error: StoreError) {
        self.half_open = false;
        if error.came_from_server() {
            self.reset_probe_delay();
        }
        if self.open.is_some() {
            self.open = Some(error);
        }
    }

    /// Resets the delays between probes: the store has shown a sign of recovery, such as a new connection.
    pub(super) fn reset_probe_delay(&mut self) {
        self.probes = 0;
    }

    /// The delay until the next probe, with `chance` from 0 to 1.
    pub(super) fn probe_delay(&mut self, chance: f64) -> Duration {
        if std::mem::take(&mut self.forced) {
            return Duration::ZERO;
        }
        if planted!(ProbeStorm) {
            return Duration::from_millis(10);
        }
        let grown = MIN_PROBE_DELAY.mul_f64(1.5_f64.powi(self.probes.min(20) as i32 + 1));
        self.probes = self.probes.saturating_add(1);
        let spread = grown.min(MAX_PROBE_DELAY) - MIN_PROBE_DELAY;
        MIN_PROBE_DELAY + spread.mul_f64(chance)
    }

    /// Closes it: the store decides again. Earlier outcomes are dropped.
    pub(super) fn close(&mut self) {
        if self.open.is_some() {
            *self = Self::new(self.deadline);
        }
    }

    fn fails_often(&self) -> bool {
        let [a, b] = self.recent;
        let (answered, failed) = (a.answered + b.answered, a.failed + b.failed);
        failed >= MIN_FAILURES && failed >= answered && a.moments + b.moments >= MIN_MOMENTS
    }

    /// The window that counts at `now`.
    fn current_window(&mut self, now: Instant) -> &mut FailureWindow {
        let begun = *self.period.get_or_insert(now);
        let periods = now.duration_since(begun).as_secs() / WINDOW.as_secs();
        if periods > 0 {
            let last = if periods == 1 {
                self.recent[0]
            } else {
                FailureWindow::default()
            };
            self.recent = [FailureWindow::default(), last];
            self.period = Some(now);
        }
        &mut self.recent[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ErrorKind;

    const DEADLINE: Duration = Duration::from_millis(250);
    const MS: Duration = Duration::from_millis(1);

    fn away() -> StoreError {
        StoreError::new(ErrorKind::Refused, "away")
    }

    /// A breaker in virtual time: `now` is the moment of the last event.
    struct Timed {
        breaker: Breaker,
        now: Instant,
    }

    impl Timed {
        fn new() -> Self {
            Self {
                breaker: Breaker::new(DEADLINE),
                now: Instant::now(),
            }
        }

        /// A batch is sent now, and fails after that time. Returns whether that opens the breaker.
        fn fail(&mut self, after: Duration) -> bool {
            let sent = self.now;
            self.now += after;
            self.breaker.on_error(sent, self.now, &away())
        }

        fn succeed(&mut self) {
            self.now += MS;
            self.breaker.on_success(self.now);
        }
    }

    #[test]
    fn it_opens_on_three_failures_in_a_row() {
        let mut timed = Timed::new();
        for opens in [false, false, true] {
            assert_eq!(timed.fail(DEADLINE), opens);
        }
        assert_eq!(
            timed.breaker.reason().map(StoreError::kind),
            Some(ErrorKind::Refused)
        );
    }

    #[test]
    fn a_success_resets_the_failures_in_a_row() {
        let mut timed = Timed::new();
        for _ in 0..9 {
            assert!(!timed.fail(MS) && !timed.fail(MS));
            timed.succeed();
            timed.succeed();
            timed.succeed();
        }
        assert!(timed.breaker.reason().is_none());
    }

    /// A connection that breaks fails all its batches: one event, not sixty-four.
    #[test]
    fn batches_in_flight_together_count_as_one_failure_in_a_row() {
        let mut timed = Timed::new();
        let sent = timed.now;
        for n in 1..=64 {
            let now = sent + MS * n;
            assert!(!timed.breaker.on_error(sent, now, &away()), "{n}");
        }
        timed.now = sent + MS * 65;
        assert_eq!([timed.fail(MS), timed.fail(MS)], [false, true]);
    }

    /// Neither a frozen Lambda nor a stopped process is the store's fault.
    #[test]
    fn a_batch_sent_before_a_freeze_does_not_count() {
        let mut timed = Timed::new();
        for _ in 0..20 {
            assert!(!timed.fail(Duration::from_secs(60)));
        }
        // A busy machine is no freeze.
        for opens in [false, false, true] {
            assert_eq!(timed.fail(DEADLINE + MS * 100), opens);
        }
    }

    #[test]
    fn it_opens_when_half_of_the_recent_batches_fail() {
        let mut timed = Timed::new();
        let opened = (1..=40).find(|_| {
            timed.succeed();
            timed.fail(MS)
        });
        assert_eq!(opened, Some(10));
    }

    #[test]
    fn a_few_failures_among_many_successes_do_not_open_it() {
        let mut timed = Timed::new();
        for _ in 0..1000 {
            timed.succeed();
            timed.succeed();
            assert!(!timed.fail(MS));
        }
    }

    /// Successes of ten seconds ago say nothing about now.
    #[test]
    fn successes_are_forgotten() {
        let mut timed = Timed::new();
        for _ in 0..1_000_000 {
            timed.breaker.on_success(timed.now);
        }
        timed.now += Duration::from_secs(10);
        let opened = (1..=40).find(|_| {
            timed.succeed();
            timed.fail(MS)
        });
        assert_eq!(opened, Some(10));
    }

    #[test]
    fn the_probe_delay_grows_from_one_second_to_thirty() {
        let mut breaker = Breaker::new(DEADLINE);
        let longest: Vec<u64> = (0..12)
            .map(|_| breaker.probe_delay(1.0).as_millis() as u64)
            .collect();
        assert_eq!(longest[..4], [1500, 2250, 3375, 5062]);
        assert!(longest.is_sorted());
        assert_eq!(longest.last(), Some(&30_000));
        assert_eq!(breaker.probe_delay(0.0), Duration::from_secs(1));
        let middle = breaker.probe_delay(0.5);
        assert!(Duration::from_secs(15) < middle && middle < Duration::from_secs(16));
    }

    /// Failures that overlap count as successes do.
    #[test]
    fn it_opens_when_half_of_overlapping_batches_are_late() {
        let mut timed = Timed::new();
        let cycle = |timed: &mut Timed| {
            let begun = timed.now;
            let late = (0..35).any(|n| {
                let sent = begun + MS * 10 * n;
                timed.breaker.on_error(sent, sent + DEADLINE, &away())
            });
            timed.now = begun + MS * 650;
            (0..30).for_each(|_| timed.succeed());
            late
        };
        assert!((0..3).any(|_| cycle(&mut timed)));
    }

    #[test]
    fn closing_a_closed_breaker_changes_nothing() {
        let mut timed = Timed::new();
        assert!(!timed.fail(MS) && !timed.fail(MS));
        timed.breaker.close();
        assert!(timed.fail(MS));
    }

    /// Only a probe can find that a store decides again that has answered with errors.
    #[test]
    fn the_probe_delay_does_not_grow_while_the_store_answers() {
        let mut breaker = Breaker::new(DEADLINE);
        for (kind, longest) in [(ErrorKind::Busy, 1500), (ErrorKind::Timeout, 30_000)] {
            for _ in 0..20 {
                breaker.on_probe_failure(StoreError::new(kind, "not yet"));
                let _ = breaker.probe_delay(1.0);
            }
            breaker.on_probe_failure(StoreError::new(kind, "not yet"));
            assert_eq!(breaker.probe_delay(1.0), Duration::from_millis(longest));
        }
    }

    #[test]
    fn a_breaker_that_closes_has_counted_nothing() {
        let mut timed = Timed::new();
        while !timed.fail(MS) {}
        // Open, it counts nothing.
        assert!(!timed.fail(MS));
        timed.breaker.close();
        assert!(timed.breaker.reason().is_none());
        assert_eq!(
            [timed.fail(MS), timed.fail(MS), timed.fail(MS)],
            [false, false, true]
        );
    }

    #[test]
    fn it_is_half_open_during_a_probe() {
        let mut breaker = Breaker::new(Duration::from_millis(250));
        let now = Instant::now();
        let error = StoreError::new(ErrorKind::Refused, "no listener");
        assert_eq!(breaker.state(), BreakerState::Closed);
        for n in 0..3 {
            breaker.on_error(
                now + Duration::from_secs(n),
                now + Duration::from_secs(n),
                &error,
            );
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.probing(true);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.on_probe_failure(error);
        assert_eq!(breaker.state(), BreakerState::Open);
        breaker.probing(true);
        breaker.close();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
