//! Anomalies: an id that asks for more than `factor × limit` within five minutes.
//!
//! At most `limit` requests can be admitted in those minutes, so with a factor of at least 1 there is no anomaly
//! without denials. Only a denial opens a tally; an id that is never denied pays nothing for being watched.

use super::{Limit, Log, Millis, OutOfRange, Window};

/// When an id's requests are out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnomalyRule {
    factor: f64,
    window: Window,
}

impl AnomalyRule {
    /// The smallest factor. Below 1 an id could cross the threshold without one denial, unseen.
    pub const MIN_FACTOR: f64 = 1.0;
    /// The largest factor: times the largest limit it still fits 32 bits.
    pub const MAX_FACTOR: f64 = 1000.0;

    /// A rule over `window`, cut to the quota's own: the log shows no admission older than that.
    ///
    /// # Errors
    /// [`OutOfRange`] for a factor outside 1 to 1000.
    pub fn new(factor: f64, window: Window, quota_window: Window) -> Result<Self, OutOfRange> {
        if (Self::MIN_FACTOR..=Self::MAX_FACTOR).contains(&factor) {
            Ok(Self {
                factor,
                window: window.min(quota_window),
            })
        } else {
            Err(OutOfRange {
                what: "anomaly.factor",
                min: Self::MIN_FACTOR,
                max: Self::MAX_FACTOR,
            })
        }
    }

    /// How many requests are still ordinary: one more is the anomaly.
    pub fn threshold(&self, limit: Limit) -> u32 {
        // The addend undoes binary rounding: 1.15 × 100 is 114.99999999999999.
        (self.factor * f64::from(limit.get()) + 1e-6).floor() as u32
    }

    /// How long requests count towards an anomaly.
    pub fn window(&self) -> Window {
        self.window
    }
}

/// The denials of one id since its tally was opened, by a denial or by a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// When it was opened, in Unix ms. It closes one anomaly window later.
    pub opened: Millis,
    /// Denials since.
    pub denied: u32,
    /// Whether a report opened it: admissions up to that moment have been reported and count no more.
    pub reported: bool,
}

impl Tally {
    /// Counts a request that was just decided, with one denial or none, or `denials` that were decided without the log.
    /// Says how many requests it reports if it crosses the threshold; of several denials the first that crosses does,
    /// and the others begin the next count. `tally` is what is kept for the id between requests.
    pub fn observe(
        tally: &mut Option<Tally>,
        now: Millis,
        denials: u32,
        log: &Log,
        rule: AnomalyRule,
        limit: Limit,
    ) -> Option<u32> {
        let window = rule.window().ms();
        let mut open = match tally.take().filter(|t| t.opened + window > now) {
            Some(open) => open,
            None if denials > 0 => Tally {
                opened: now,
                denied: 0,
                reported: false,
            },
            None => return None,
        };
        open.denied = open.denied.saturating_add(denials);
        let requests = open.requests(now, log, rule);
        let beyond = requests.checked_sub(rule.threshold(limit) + 1);
        let reported = beyond.map(|beyond| {
            let over = beyond.min(denials.saturating_sub(1));
            open = Tally {
                opened: now,
                denied: over,
                reported: true,
            };
            requests - over
        });
        *tally = Some(open);
        reported
    }

    /// The requests that count at `now`.
    pub fn requests(&self, now: Millis, log: &Log, rule: AnomalyRule) -> u32 {
        let from = if self.reported {
            self.opened
        } else {
            now.saturating_sub(rule.window().ms())
        };
        self.denied.saturating_add(log.since(from) as u32)
    }
}
