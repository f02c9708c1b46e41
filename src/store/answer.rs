//! The outcome of a request, and who decided it.

use super::named_enum::named_enum;
use crate::quota::Outcome;

named_enum! {
    /// Who decided.
    pub enum Source {
        /// Redis.
        Redis = "redis",
        /// The embedded store.
        Memory = "memory",
        /// A denial from the deny cache.
        DenyCache = "deny-cache",
        /// The in-process limiter that decides while Redis is away.
        Local = "local",
        /// The policy that admits every request while Redis is away.
        Open = "open",
        /// The policy that denies every request while Redis is away.
        Closed = "closed",
    }
    /// The name in the public interface.
    => name
}

/// The outcome of a request and who decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The decision, and what the anomaly rule makes of the request.
    pub outcome: Outcome,
    /// Who decided.
    pub source: Source,
}
