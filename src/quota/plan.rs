//! The plans of the application and what each grants an hour.

use super::Limit;

/// A creator's plan. It picks the limit and nothing else: the log is the creator's, whatever the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// 50 requests an hour.
    Starter,
    /// 100 requests an hour.
    Pro,
    /// 500 requests an hour.
    Business,
}

impl Plan {
    /// Every plan, smallest first; the position is the plan's number at the border to JavaScript.
    pub const ALL: [Plan; 3] = [Plan::Starter, Plan::Pro, Plan::Business];

    /// The name the application uses.
    pub fn name(self) -> &'static str {
        match self {
            Plan::Starter => "starter",
            Plan::Pro => "pro",
            Plan::Business => "business",
        }
    }

    /// The limit, unless the application configures another.
    pub fn default_limit(self) -> Limit {
        match self {
            Plan::Starter => const { Limit::literal(50) },
            Plan::Pro => const { Limit::literal(100) },
            Plan::Business => const { Limit::literal(500) },
        }
    }
}
