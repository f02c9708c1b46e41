//! Anomalies: an id that asks for more than `factor × limit` within five minutes.
//!
//! At most `limit` requests can be admitted in those minutes, so with a factor of at least 1 there is no anomaly
//! without denials. Only a denial opens a tally; an id that is never denied pays nothing for being watched. A report ends
//! the count for a whole window: however long an attack lasts, it is one report an id and window.

use std::num::{NonZeroU32, NonZeroU64};

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

/// What is kept of an id for its anomaly rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// Its requests are counted since its first denial, for one anomaly window.
    Counting {
        /// The moment of that denial, in Unix ms.
        opened: Millis,
        /// Denials since.
        denied: u32,
    },
    /// An anomaly has been reported. For one anomaly window nothing is counted.
    Reported {
        /// The moment of the request that was reported, in Unix ms.
        at: Millis,
    },
}

/// What the anomaly rule makes of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Count {
    /// Nothing: there is no rule, or the id has not been denied yet.
    #[default]
    None,
    /// It is ordinary. So many more, at the least one, would be an anomaly.
    Below(NonZeroU32),
    /// It is the anomaly: the one after as many as the threshold allows. So many requests have been counted.
    Anomaly(NonZeroU32),
    /// It is not counted, nor is any other for so many ms: an anomaly has been reported.
    Paused(NonZeroU64),
}

impl Count {
    /// The requests of the anomaly that is to be reported.
    pub fn anomaly(self) -> Option<u32> {
        match self {
            Self::Anomaly(requests) => Some(requests.get()),
            Self::None | Self::Below(_) | Self::Paused(_) => None,
        }
    }
}

impl Tally {
    /// Counts a request that was just decided, with one denial or none, or `denials` that were decided without the log.
    /// `tally` is what is kept of the id between requests.
    pub fn observe(
        tally: &mut Option<Tally>,
        now: Millis,
        denials: u32,
        log: &Log,
        rule: AnomalyRule,
        limit: Limit,
    ) -> Count {
        let window = rule.window().ms();
        let (opened, denied) = match tally.take().filter(|t| t.since() + window > now) {
            Some(Tally::Reported { at }) => {
                *tally = Some(Tally::Reported { at });
                // Shorter than it is where the clock has stepped back: it is asked again before its end.
                let pause = NonZeroU64::new((at + window - now).min(window));
                return pause.map_or(Count::None, Count::Paused);
            }
            Some(Tally::Counting { opened, denied }) => (opened, denied),
            None if denials > 0 => (now, 0),
            None => return Count::None,
        };
        let denied = denied.saturating_add(denials);
        let admitted = log.since(now.saturating_sub(window)) as u32;
        let requests = denied.saturating_add(admitted);
        let more = (rule.threshold(limit) + 1).saturating_sub(requests);
        if let Some(more) = NonZeroU32::new(more) {
            *tally = Some(Tally::Counting { opened, denied });
            return Count::Below(more);
        }
        *tally = Some(Tally::Reported { at: now });
        // Of several denials at once, the first that is too many is the anomaly.
        let beyond = requests - (rule.threshold(limit) + 1);
        let reported = requests - beyond.min(denials.saturating_sub(1));
        NonZeroU32::new(reported).map_or(Count::None, Count::Anomaly)
    }

    /// One anomaly window later, it is as if it had never been.
    pub fn since(&self) -> Millis {
        match *self {
            Self::Counting { opened, .. } => opened,
            Self::Reported { at } => at,
        }
    }
}
