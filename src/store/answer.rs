//! What a request gets: its outcome, and who decided it.

use crate::quota::Outcome;

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Redis.
    Redis,
    /// The embedded store.
    Memory,
    /// A denial that was remembered.
    DenyCache,
    /// The in-process limiter that decides while Redis is away.
    Local,
    /// Nobody: admitted because Redis is away.
    Open,
    /// Nobody: denied because Redis is away.
    Closed,
}

impl Source {
    /// Every source; the position is its number at the border to JavaScript.
    pub const ALL: [Source; 6] = [
        Source::Redis,
        Source::Memory,
        Source::DenyCache,
        Source::Local,
        Source::Open,
        Source::Closed,
    ];

    /// The name of the public interface.
    pub fn name(self) -> &'static str {
        match self {
            Source::Redis => "redis",
            Source::Memory => "memory",
            Source::DenyCache => "deny-cache",
            Source::Local => "local",
            Source::Open => "open",
            Source::Closed => "closed",
        }
    }
}

/// The outcome of a request and who decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The decision, and the anomaly it reports.
    pub outcome: Outcome,
    /// Who decided.
    pub source: Source,
}
