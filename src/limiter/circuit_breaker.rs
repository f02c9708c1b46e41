//! Stops asking a store that does not answer.
//!
//! Closed, it watches what becomes of batches. It opens when several in a row fail, or half of the recent ones. Open, no
//! request reaches the store: whoever may decide in its place does so at once, and probes of nobody's ask whether the store
//! is back. (Nygard, "Release It!", 2nd ed., 2018, "Circuit Breaker".)
//!
//! Time is passed in, and so is chance.

use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::BreakerState;
use crate::store::StoreError;

/// As many failures in a row open it: one may be a broken connection and two the one that replaced it.
const CONSECUTIVE_FAILURES: u32 = 3;

/// Half of the batches of the last 5 to 10 s open it, if these are at least so many, and they did not all fail at the same
/// moment.
const MIN_FAILURES: u32 = 10;
const MIN_MOMENTS: u32 = 3;
const WINDOW: Duration = Duration::from_secs(5);

/// An answer that comes this long after the deadline was not late: this process, or its machine, was stopped. A busy machine
/// delays a timer by some 10 ms.
const SUSPENDED: Duration = Duration::from_millis(500);

/// The bounds of the wait between two probes. It grows by half from one to the next, while nothing answers: then a new
/// connection tells sooner. A store that answers and does not decide is asked about once a second: nothing else can tell.
const MIN_PROBE_DELAY: Duration = Duration::from_secs(1);
const MAX_PROBE_DELAY: Duration = Duration::from_secs(30);

/// The breaker of one store, as one limiter sees it.
#[derive(Debug)]
pub struct Breaker {
    deadline: Duration,
    /// Why it is open, while it is.
    open: Option<StoreError>,
    consecutive_failures: u32,
    /// When the last failure was seen that counted in the row.
    failed_at: Option<Instant>,
    answered_at: Option<Instant>,
    period: Option<Instant>,
    recent: [FailureWindow; 2],
    probes: u32,
    /// No probe has been sent since it was held.
    forced: bool,
    /// A probe is under way, or what follows it.
    half_open: bool,
}

/// What became of the batches of one period.
#[derive(Debug, Clone, Copy, Default)]
struct FailureWindow {
    answered: u32,
    failed: u32,
    /// When they failed: what was under way together fails at one moment.
    moments: u32,
}

impl Breaker {
    /// A closed breaker. A batch is answered within `deadline`, or has failed.
    pub fn new(deadline: Duration) -> Self {
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

    /// Why no request may be sent; `None`: it is closed.
    pub fn reason(&self) -> Option<&StoreError> {
        self.open.as_ref()
    }

    /// What it does.
    pub fn state(&self) -> BreakerState {
        match (&self.open, self.half_open) {
            (None, _) => BreakerState::Closed,
            (Some(_), true) => BreakerState::HalfOpen,
            (Some(_), false) => BreakerState::Open,
        }
    }

    /// Opens it: nothing may be sent, because of `error`, before a first probe, which need not wait.
    pub fn force_open(&mut self, error: StoreError) {
        self.open = Some(error);
        self.forced = true;
    }

    /// Whether a probe is under way.
    pub fn probing(&mut self, probing: bool) {
        self.half_open = probing;
    }

    /// Whether the store answered what it was asked last.
    pub fn is_healthy(&self) -> bool {
        self.open.is_none() && self.consecutive_failures == 0
    }

    /// The store has answered a batch.
    pub fn on_success(&mut self, now: Instant) {
        self.consecutive_failures = 0;
        self.answered_at = Some(now);
        self.current_window(now).answered += 1;
    }

    /// Whether a batch that was sent at `sent` and has not been answered has had a fair chance. One that has waited here for
    /// long has little left of its deadline, and says little of the store; unless that has not answered anybody for long.
    pub fn counts_as_failure(&self, sent: Instant, now: Instant) -> bool {
        let share = self.deadline / 2;
        let long = |since: Instant| now.saturating_duration_since(since) >= share;
        long(sent) || self.answered_at.is_some_and(long)
    }

    /// A batch that was sent at `sent` has failed. Returns whether that opens the breaker.
    pub fn on_error(&mut self, sent: Instant, now: Instant, error: &StoreError) -> bool {
        if self.open.is_some() {
            return false;
        }
        if now.duration_since(sent) >= self.deadline + SUSPENDED {
            return false;
        }
        // What was under way together fails together: that is one failure in the row, and not one for each.
        let new = self.failed_at.is_none_or(|failed_at| sent >= failed_at);
        if new {
            self.failed_at = Some(now);
            self.consecutive_failures += 1;
        }
        let tally = self.current_window(now);
        tally.failed += 1;
        tally.moments += u32::from(new);
        if self.consecutive_failures >= CONSECUTIVE_FAILURES || self.fails_often() {
            self.open = Some(error.clone());
            self.half_open = false;
            self.probes = 0;
            return true;
        }
        false
    }

    /// It is still away, and this is why now.
    pub fn on_probe_failure(&mut self, error: StoreError) {
        self.half_open = false;
        if error.is_an_answer() {
            self.reset_backoff();
        }
        if self.open.is_some() {
            self.open = Some(error);
        }
    }

    /// There is a new sign of the store: the waits begin anew.
    pub fn reset_backoff(&mut self) {
        self.probes = 0;
    }

    /// How long to wait for the next probe, with `chance` from 0 to 1.
    pub fn probe_delay(&mut self, chance: f64) -> Duration {
        if std::mem::take(&mut self.forced) {
            return Duration::ZERO;
        }
        let grown = MIN_PROBE_DELAY.mul_f64(1.5_f64.powi(self.probes.min(20) as i32 + 1));
        self.probes = self.probes.saturating_add(1);
        let spread = grown.min(MAX_PROBE_DELAY) - MIN_PROBE_DELAY;
        MIN_PROBE_DELAY + spread.mul_f64(chance)
    }

    /// The store decides again. What was counted before says nothing of it.
    pub fn close(&mut self) {
        if self.open.is_some() {
            *self = Self::new(self.deadline);
        }
    }

    fn fails_often(&self) -> bool {
        let [a, b] = self.recent;
        let (answered, failed) = (a.answered + b.answered, a.failed + b.failed);
        failed >= MIN_FAILURES && failed >= answered && a.moments + b.moments >= MIN_MOMENTS
    }

    /// What is counted at `now`.
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
