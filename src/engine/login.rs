//! How long a login is valid, and when it is renewed.
//!
//! ElastiCache ends a connection 12 hours after its user logged in with an IAM token, unless AUTH has been sent again by
//! then. So a connection whose password came from a source sends AUTH again in good time, and is replaced if that fails.

use std::time::Duration;

use super::time::Moment;

/// Fractions of a login's life between which it is renewed: after 10½ to 11½ of 12 hours, by jitter, so that processes that
/// were started together do not all log in at one moment.
const FIRST_RENEWAL: f64 = 21.0 / 24.0;
const LAST_RENEWAL: f64 = 23.0 / 24.0;

/// After 11¾ of 12 hours a connection whose login could not be renewed is replaced. At least six renewals have failed by then,
/// and a quarter of an hour is left for the replacement.
const REPLACEMENT: f64 = 47.0 / 48.0;

/// The longest time between two checks of the age of a login, as a part of its life: 5 minutes of 12 hours. A timer stands still while
/// a process is frozen, and the age does not.
const AGE_CHECKS: u32 = 144;

/// The first wait after a renewal that failed, as a part of its life: 30 seconds of 12 hours. It doubles up to the time between
/// two checks.
const FIRST_RETRY: u32 = 1440;

/// The login of one connection.
#[derive(Debug)]
pub struct Login {
    life: Duration,
    since: Moment,
    /// The age at which it is to be renewed.
    due: Duration,
    failures: u32,
}

impl Login {
    /// A login that the server accepted at `now`, valid for `life`.
    pub fn new(life: Duration, now: Moment, random: &mut fastrand::Rng) -> Self {
        Self {
            life,
            since: now,
            due: life.mul_f64(between(FIRST_RENEWAL, LAST_RENEWAL, random)),
            failures: 0,
        }
    }

    /// The server has accepted AUTH again.
    pub fn renewed(&mut self, now: Moment, random: &mut fastrand::Rng) {
        *self = Self::new(self.life, now, random);
    }

    /// A renewal has failed.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether a renewal has failed since the last that succeeded. The next one is scheduled.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Whether it is time to renew it.
    pub fn is_due(&self, now: Moment) -> bool {
        now.since(self.since) >= self.due
    }

    /// Whether the server may end it so soon that the connection should be replaced.
    pub fn is_over(&self, now: Moment) -> bool {
        now.since(self.since) >= self.life.mul_f64(REPLACEMENT)
    }

    /// The wait before the next check of its age.
    pub fn next_age_check(&self, now: Moment, random: &mut fastrand::Rng) -> Duration {
        let longest = self.life / AGE_CHECKS;
        if self.failures == 0 {
            let left = self.due.saturating_sub(now.since(self.since));
            return left.min(longest);
        }
        let doubled = 1_u32.checked_shl(self.failures - 1).unwrap_or(u32::MAX);
        let bound = (self.life / FIRST_RETRY)
            .saturating_mul(doubled)
            .min(longest);
        // At least half of it: a password source that fails is not asked in quick succession.
        bound.mul_f64(between(0.5, 1.0, random))
    }
}

fn between(least: f64, most: f64, random: &mut fastrand::Rng) -> f64 {
    least + (most - least) * random.f64()
}
