//! The answer to a check. Being denied is a decision, never an error.

use std::num::NonZeroU64;

use super::Millis;

/// Allowed, or denied with the time until a slot frees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request was admitted and recorded.
    Allowed,
    /// The request was denied and not recorded.
    Denied {
        /// Milliseconds until a request is admitted if no other comes before it; a millisecond earlier it is denied.
        retry_after: NonZeroU64,
    },
}

/// A verdict and the status of the id after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Admissions left in the window: 0 to the limit.
    pub remaining: u32,
    /// When every admission that counts now has left the window, in Unix ms; now + window if none does.
    pub reset: Millis,
    /// The time from the decision to `reset`, in ms by the same clock.
    pub reset_after: Millis,
}

impl Decision {
    /// Whether the request was admitted.
    pub fn is_allowed(&self) -> bool {
        self.verdict == Verdict::Allowed
    }

    /// Milliseconds until a slot frees; 0 when allowed.
    pub fn retry_after_ms(&self) -> Millis {
        match self.verdict {
            Verdict::Allowed => 0,
            Verdict::Denied { retry_after } => retry_after.get(),
        }
    }
}
