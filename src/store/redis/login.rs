//! How long a login holds, and when it is renewed.
//!
//! ElastiCache ends a connection 12 hours after its user logged in with an IAM token, unless AUTH has been said again by
//! then. So a connection whose password was asked for says it again in good time, and is replaced where that fails.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// How long ElastiCache takes a login with an IAM token for good. (Amazon ElastiCache User Guide, "Authenticating with
/// IAM", Limitations.)
pub const LOGIN_LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Parts of its life: the login is renewed after 10½ to 11½ of 12 hours, by jitter: processes that were started together
/// do not all log in at one moment.
const FIRST_DUE: f64 = 21.0 / 24.0;
const LAST_DUE: f64 = 23.0 / 24.0;

/// After 11¾ hours a connection whose login could not be renewed is replaced. It has been tried six times by
/// then, at the least, and there is a quarter of an hour for the replacement.
const OVER: f64 = 47.0 / 48.0;

/// In fractions of its life: how often its age is looked at, every 5 minutes of 12 hours. A timer stands still while a process
/// is frozen, and the age does not.
const LOOKS: u32 = 144;

/// The first wait after a renewal that failed, 30 seconds; it doubles up to the time between two looks.
const FIRST_RETRY: u32 = 1440;

/// One moment, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Never goes back.
    pub steady: Instant,
    /// Goes on while a virtual machine is suspended.
    pub wall: SystemTime,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The time since, by the clock that has seen more of it. A machine's clock that was set back says nothing.
    fn since(self, earlier: Self) -> Duration {
        let steady = self.steady.saturating_duration_since(earlier.steady);
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        steady.max(wall)
    }
}

/// The login of one connection.
#[derive(Debug)]
pub struct Login {
    life: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    since: Moment,
    /// At what age it is to be renewed.
    due: Duration,
    failures: u32,
}

impl Login {
    /// One that was let in at `now`, and holds for `life`.
    pub fn new(life: Duration, now: Moment) -> Self {
        Self {
            life,
            state: Mutex::new(fresh(life, now)),
        }
    }

    /// The server has let it in again.
    pub fn renewed(&self, now: Moment) {
        *self.state.lock() = fresh(self.life, now);
    }

    /// It could not be renewed.
    pub fn failed(&self) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
    }

    /// Whether that was tried, in vain, and is tried again in its time.
    pub fn has_failed(&self) -> bool {
        self.state.lock().failures > 0
    }

    /// Whether it is time to renew it.
    pub fn is_due(&self, now: Moment) -> bool {
        let state = *self.state.lock();
        now.since(state.since) >= state.due
    }

    /// Whether it may end so soon that the connection should not be used any more than it has to.
    pub fn is_over(&self, now: Moment) -> bool {
        now.since(self.state.lock().since) >= self.life.mul_f64(OVER)
    }

    /// How long to sleep before the next look at its age.
    pub fn next_look(&self, now: Moment) -> Duration {
        let state = *self.state.lock();
        let look = self.life / LOOKS;
        if state.failures == 0 {
            let left = state.due.saturating_sub(now.since(state.since));
            return left.min(look);
        }
        let doubled = 1_u32.checked_shl(state.failures - 1).unwrap_or(u32::MAX);
        let bound = (self.life / FIRST_RETRY).saturating_mul(doubled).min(look);
        // Half of it at the least: where the password's source is what fails, it is not asked in a row.
        bound.mul_f64(between(0.5, 1.0))
    }
}

fn fresh(life: Duration, since: Moment) -> State {
    State {
        since,
        due: life.mul_f64(between(FIRST_DUE, LAST_DUE)),
        failures: 0,
    }
}

fn between(least: f64, most: f64) -> f64 {
    least + (most - least) * fastrand::f64()
}
