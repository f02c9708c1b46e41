//! A quota: a limit and a window. Values out of range cannot be built.

use std::num::NonZeroU32;

use super::{AnomalyRule, Millis};

/// The largest limit, in admissions a window. A log of this size, one list, takes about 11 MB on the server.
pub const MAX_LIMIT: u32 = 1_000_000;

/// The longest window: 31 days, the longest billing month.
pub const MAX_WINDOW_MS: Millis = 31 * 24 * 60 * 60 * 1000;

/// A number out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} must be {min} to {max}")]
pub struct OutOfRange {
    /// The name of the value in the public interface.
    pub(crate) what: &'static str,
    /// The smallest value allowed.
    pub(crate) min: f64,
    /// The largest value allowed.
    pub(crate) max: f64,
}

/// How many admissions a window may hold: 1 to [`MAX_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit(NonZeroU32);

impl Limit {
    /// # Errors
    /// [`OutOfRange`] for 0 and for more than [`MAX_LIMIT`].
    pub fn new(limit: u32) -> Result<Self, OutOfRange> {
        NonZeroU32::new(limit)
            .filter(|n| n.get() <= MAX_LIMIT)
            .map(Self)
            .ok_or(OutOfRange {
                what: "limit",
                min: 1.0,
                max: f64::from(MAX_LIMIT),
            })
    }

    pub(crate) const fn literal(limit: u32) -> Self {
        match NonZeroU32::new(limit) {
            Some(n) if limit <= MAX_LIMIT => Self(n),
            _ => panic!("a limit is 1 to MAX_LIMIT"),
        }
    }

    /// The limit as a number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// How long an admission counts, in milliseconds: 1 to [`MAX_WINDOW_MS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window(Millis);

impl Window {
    /// # Errors
    /// [`OutOfRange`] for 0 and for more than [`MAX_WINDOW_MS`].
    pub fn new(ms: Millis) -> Result<Self, OutOfRange> {
        if (1..=MAX_WINDOW_MS).contains(&ms) {
            Ok(Self(ms))
        } else {
            Err(OutOfRange {
                what: "windowMs",
                min: 1.0,
                max: MAX_WINDOW_MS as f64,
            })
        }
    }

    /// The window in milliseconds.
    pub fn ms(self) -> Millis {
        self.0
    }
}

/// A limit and a window: at most `limit` admissions in `(t − window, t]`, for every t.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many admissions.
    pub limit: Limit,
    /// How long each counts.
    pub window: Window,
}

/// The rules of one limiter. The limit is not among them: each check has its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The quota's window.
    pub window: Window,
    /// When an id's requests are an anomaly; `None`: never.
    pub anomaly: Option<AnomalyRule>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_1_to_a_million() {
        assert_eq!(Limit::new(1).unwrap().get(), 1);
        assert_eq!(Limit::new(1_000_000).unwrap().get(), MAX_LIMIT);
        for n in [0, 1_000_001, u32::MAX] {
            let refused = Limit::new(n).unwrap_err();
            assert_eq!(refused.to_string(), "limit must be 1 to 1000000");
        }
    }

    #[test]
    fn a_window_is_a_millisecond_to_31_days() {
        assert_eq!(Window::new(1).unwrap().ms(), 1);
        assert_eq!(Window::new(2_678_400_000).unwrap().ms(), MAX_WINDOW_MS);
        for ms in [0, 2_678_400_001, u64::MAX] {
            let refused = Window::new(ms).unwrap_err();
            assert_eq!(refused.to_string(), "windowMs must be 1 to 2678400000");
        }
    }
}
