//! Anomalies: an id that asks for more than `factor × limit` within five minutes.
//!
//! At most `limit` requests can be admitted in those minutes, so with a factor of at least 1 there is no anomaly
//! without denials. Only a denial opens a tally, so the rule costs nothing for an id that is never denied. A report stops
//! the count for a whole window: however long an attack lasts, it is reported once an id and window.

use std::num::{NonZeroU32, NonZeroU64};

use super::{Limit, Log, Millis, OutOfRange, Window};

/// When an id's requests are an anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnomalyRule {
    factor: f64,
    window: Window,
}

impl AnomalyRule {
    /// The smallest factor. Below 1 an id could cross the threshold without a denial, and would not be reported.
    pub(crate) const MIN_FACTOR: f64 = 1.0;
    /// The largest factor: multiplied by the largest limit it still fits 32 bits.
    pub(crate) const MAX_FACTOR: f64 = 1000.0;

    /// A rule over `window`, or over that of the quota if it is shorter: the log holds no older admissions.
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

    /// The most requests that are no anomaly: one more is.
    pub fn threshold(&self, limit: Limit) -> u32 {
        // The addend undoes binary rounding: 1.15 × 100 is 114.99999999999999.
        (self.factor * f64::from(limit.get()) + 1e-6).floor() as u32
    }

    /// How long requests count towards an anomaly.
    pub fn window(&self) -> Window {
        self.window
    }
}

/// The state of the anomaly rule for one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tally {
    /// Its requests are counted since its first denial, for one anomaly window.
    Counting {
        /// The moment of that denial, in Unix ms.
        opened: Millis,
        /// Denials since.
        denied: u32,
    },
    /// An anomaly has been reported. No request is counted for one anomaly window.
    Reported {
        /// The moment of the request that was reported, in Unix ms.
        at: Millis,
    },
}

/// The result of the anomaly rule for one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnomalyStatus {
    /// There is no rule, or the id has not been denied yet.
    #[default]
    None,
    /// Below the threshold. The least number of further requests that would be an anomaly.
    Below(NonZeroU32),
    /// The request that exceeds the threshold. The number of requests counted.
    Anomaly(NonZeroU32),
    /// Not counted, since an anomaly has been reported. For how many ms no request is.
    Paused(NonZeroU64),
}

impl AnomalyStatus {
    /// The requests of the anomaly to report, if there is one.
    pub fn anomaly(self) -> Option<u32> {
        match self {
            Self::Anomaly(requests) => Some(requests.get()),
            Self::None | Self::Below(_) | Self::Paused(_) => None,
        }
    }
}

impl Tally {
    /// Counts a request that was just decided, with one denial or none, or `denials` that were decided without the log.
    /// `tally` is the state of the id between requests.
    pub(crate) fn observe(
        tally: &mut Option<Tally>,
        now: Millis,
        denials: u32,
        log: &Log,
        rule: AnomalyRule,
        limit: Limit,
    ) -> AnomalyStatus {
        let window = rule.window().ms();
        let (opened, denied) = match tally.take().filter(|t| t.started_at() + window > now) {
            Some(Tally::Reported { at }) => {
                *tally = Some(Tally::Reported { at });
                // Capped: after a clock step back it is longer than a window, and the client asks again before its end.
                let pause = NonZeroU64::new((at + window - now).min(window));
                return pause.map_or(AnomalyStatus::None, AnomalyStatus::Paused);
            }
            Some(Tally::Counting { opened, denied }) => (opened, denied),
            None if denials > 0 => (now, 0),
            None => return AnomalyStatus::None,
        };
        let denied = denied.saturating_add(denials);
        let admitted = log.count_after(now.saturating_sub(window)) as u32;
        let requests = denied.saturating_add(admitted);
        let missing = (rule.threshold(limit) + 1).saturating_sub(requests);
        if let Some(missing) = NonZeroU32::new(missing) {
            *tally = Some(Tally::Counting { opened, denied });
            return AnomalyStatus::Below(missing);
        }
        *tally = Some(Tally::Reported { at: now });
        // Of several denials at once, the first above the threshold is the anomaly.
        let beyond = requests - (rule.threshold(limit) + 1);
        let reported = requests - beyond.min(denials.saturating_sub(1));
        NonZeroU32::new(reported).map_or(AnomalyStatus::None, AnomalyStatus::Anomaly)
    }

    /// When it began. One anomaly window later it expires.
    pub(crate) fn started_at(&self) -> Millis {
        match *self {
            Self::Counting { opened, .. } => opened,
            Self::Reported { at } => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{History, MAX_LIMIT, Rules};

    /// Any time of today.
    const EPOCH: Millis = 1_753_000_000_123;

    fn limit(n: u32) -> Limit {
        Limit::new(n).unwrap()
    }

    fn window(ms: Millis) -> Window {
        Window::new(ms).unwrap()
    }

    /// Rules that report more than `factor` times the limit within `anomaly_ms`.
    fn anomaly_rules(ms: Millis, factor: f64, anomaly_ms: Millis) -> Rules {
        Rules {
            window: window(ms),
            anomaly: Some(AnomalyRule::new(factor, window(anomaly_ms), window(ms)).unwrap()),
        }
    }

    /// The anomalies that `count` requests at `now` report: the number of the request (from 1), and the requests counted.
    fn reports(
        history: &mut History,
        now: Millis,
        rules: Rules,
        n: u32,
        count: u32,
    ) -> Vec<(u32, u32)> {
        let mut ask = |i| {
            Some((
                i,
                history
                    .check(now, rules, limit(n))
                    .anomaly_status
                    .anomaly()?,
            ))
        };
        (1..=count).filter_map(&mut ask).collect()
    }

    #[test]
    fn twice_the_limit_is_ordinary_and_one_more_is_not() {
        let rules = anomaly_rules(3_600_000, 2.0, 300_000);
        let mut history = History::default();
        assert_eq!(reports(&mut history, EPOCH, rules, 10, 20), []);
        assert_eq!(reports(&mut history, EPOCH + 1, rules, 10, 1), [(1, 21)]);
    }

    #[test]
    fn an_attack_is_reported_once_a_window_however_long_it_lasts() {
        let rules = anomaly_rules(3_600_000, 2.0, 300_000);
        let mut history = History::default();
        assert_eq!(
            reports(&mut history, EPOCH, rules, 10, 1_000_000),
            [(21, 21)]
        );
        assert_eq!(reports(&mut history, EPOCH + 299_999, rules, 10, 1000), []);
        // A window after the report the count begins at 0: at a denial, since all admissions are older.
        let end = EPOCH + 300_000;
        assert_eq!(reports(&mut history, end, rules, 10, 1000), [(21, 21)]);
    }

    #[test]
    fn a_denial_returns_what_is_missing_to_an_anomaly_or_for_how_long_none_is_counted() {
        let rules = anomaly_rules(3_600_000, 2.0, 300_000);
        let mut history = History::default();
        let mut count = |now| history.check(now, rules, limit(2)).anomaly_status;
        assert_eq!([count(EPOCH), count(EPOCH)], [AnomalyStatus::None; 2]);
        let below = |n| AnomalyStatus::Below(NonZeroU32::new(n).unwrap());
        assert_eq!([count(EPOCH), count(EPOCH)], [below(2), below(1)]);
        assert_eq!(count(EPOCH + 1).anomaly(), Some(5));
        let paused = |ms| AnomalyStatus::Paused(NonZeroU64::new(ms).unwrap());
        assert_eq!(count(EPOCH + 1), paused(300_000));
        assert_eq!(count(EPOCH + 300_000), paused(1));
        assert_eq!(count(EPOCH + 300_001), below(4));
    }

    #[test]
    fn a_threshold_is_rounded_down_but_not_by_a_binary_rounding_error() {
        let rules = anomaly_rules(3_600_000, 1.5, 300_000);
        assert_eq!(
            reports(&mut History::default(), EPOCH, rules, 5, 14),
            [(8, 8)]
        );
        let factor_one = anomaly_rules(3_600_000, 1.0, 300_000);
        assert_eq!(
            reports(&mut History::default(), EPOCH, factor_one, 3, 4),
            [(4, 4)]
        );
        let rule = AnomalyRule::new(1.15, window(1), window(1)).unwrap();
        // 1.15 × 100 is 114.99999999999999 in binary.
        assert_eq!(rule.threshold(limit(100)), 115);
        let largest = AnomalyRule::new(1000.0, window(1), window(1)).unwrap();
        assert_eq!(largest.threshold(limit(MAX_LIMIT)), 1_000_000_000);
    }

    #[test]
    fn only_requests_of_the_last_anomaly_window_count() {
        // Two a minute for an hour: ten are admitted, the rest denied.
        let rules = anomaly_rules(3_600_000, 2.0, 300_000);
        let mut history = History::default();
        let mut all = Vec::new();
        for minute in 0..60 {
            let now = EPOCH + minute * 60_000;
            all.extend(reports(&mut history, now, rules, 10, 2));
        }
        // Ten requests in any five minutes: never more than twenty.
        assert_eq!(all, []);
    }

    #[test]
    fn a_tally_closes_one_anomaly_window_after_it_was_opened() {
        let rules = anomaly_rules(3_600_000, 1.0, 300_000);
        let mut history = History::default();
        assert_eq!(reports(&mut history, EPOCH, rules, 2, 2), []);
        // The admissions have left the anomaly window: this denial opens a tally with a count of 1.
        assert_eq!(reports(&mut history, EPOCH + 300_000, rules, 2, 2), []);
        // At the very moment it closes the count is 1 again, not 3.
        assert_eq!(reports(&mut history, EPOCH + 600_000, rules, 2, 2), []);
        // One millisecond before the next closes it still counts.
        assert_eq!(
            reports(&mut history, EPOCH + 899_999, rules, 2, 1),
            [(1, 3)]
        );
    }

    #[test]
    fn admissions_after_a_report_are_not_counted_either() {
        let rules = anomaly_rules(1000, 1.0, 1000);
        let mut history = History::default();
        assert_eq!(reports(&mut history, EPOCH, rules, 2, 3), [(3, 3)]);
        // A larger plan admits two more, and then denies.
        assert_eq!(reports(&mut history, EPOCH + 1, rules, 4, 2), []);
        assert_eq!(reports(&mut history, EPOCH + 2, rules, 3, 100), []);
    }

    #[test]
    fn the_anomaly_window_is_at_most_that_of_the_quota() {
        let rule = AnomalyRule::new(2.0, window(300_000), window(1000)).unwrap();
        assert_eq!(rule.window(), window(1000));
        let rule = AnomalyRule::new(2.0, window(300_000), window(3_600_000)).unwrap();
        assert_eq!(rule.window(), window(300_000));
    }

    #[test]
    fn a_factor_outside_its_range_is_refused_by_name() {
        for factor in [0.999, 0.0, -1.0, 1000.001, f64::NAN, f64::INFINITY] {
            let refused = AnomalyRule::new(factor, window(1), window(1)).unwrap_err();
            assert_eq!(refused.to_string(), "anomaly.factor must be 1 to 1000");
        }
    }
}
