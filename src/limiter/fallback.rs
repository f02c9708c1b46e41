//! The fallback: decides a check when the store did not.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::Journal;
use crate::planted::planted;
use crate::quota::{AnomalyStatus, Clock, Decision, Limit, Millis, Outcome, Rules, Verdict};
use crate::store::{Answer, MemoryStore, Op, Request, Source, StoreError, named_enum};

named_enum! {
    /// The policy for checks that the store does not decide.
    pub enum OnStoreError {
        /// This process decides, from logs of its own: at most one quota a process and window, however often the store fails.
        Local = "local",
        /// Every check is admitted.
        Open = "open",
        /// Every check is denied.
        Closed = "closed",
        /// The check fails with the store's error.
        Throw = "throw",
    }
    /// The name in the public interface.
    => name
}

/// The retry time of a check that the policy denies: one second, the smallest `Retry-After`.
const CLOSED_RETRY_AFTER_MS: NonZeroU64 = NonZeroU64::new(1000).expect("not zero");

/// A policy, with the logs it decides from.
pub struct Fallback {
    policy: OnStoreError,
    rules: Rules,
    local: Local,
}

/// The logs of this process, and the admissions in them that the store does not have.
#[derive(Clone, Default)]
pub struct Local {
    /// The logs.
    pub logs: Arc<MemoryStore>,
    /// The pending replays.
    pub journal: Arc<Journal>,
}

impl Fallback {
    /// A fallback by `policy`. Only [`OnStoreError::Local`] reads and writes `local`.
    pub fn new(policy: OnStoreError, rules: Rules, local: Local) -> Self {
        Self {
            policy,
            rules,
            local,
        }
    }

    /// Answers `request` in place of a store that failed with `error`. `slot` is the slot of the id.
    ///
    /// # Errors
    /// Returns `error` under [`OnStoreError::Throw`]; under every policy for the count of repeated denials; and under the
    /// policies without a log for a reset: nothing was counted or reset.
    pub fn answer(
        &self,
        slot: u16,
        request: &Request,
        error: StoreError,
    ) -> Result<Answer, StoreError> {
        let source = match (self.policy, request.op) {
            // No caller waits for a count, and an anomaly it reported here would be reported twice.
            (_, Op::CountDenials(_)) => return Err(error),
            (OnStoreError::Local, _) => {
                let Local { logs, journal } = &self.local;
                let mut request = request.clone();
                if planted!(LocalOverLimit)
                    && let Ok(limit) = Limit::new(request.limit.get() + 1)
                {
                    request.limit = limit;
                }
                return Ok(Answer {
                    outcome: journal.answer(logs, self.rules, slot, &request),
                    source: Source::Local,
                });
            }
            (OnStoreError::Throw, _) | (_, Op::Reset) => return Err(error),
            (OnStoreError::Open, _) => Source::Open,
            (OnStoreError::Closed, _) => Source::Closed,
        };
        Ok(Answer {
            outcome: Outcome::of(self.policy_decision(source, request)),
            source,
        })
    }

    /// The logs of this process and the journal, if admissions in them are to be replayed into the store.
    pub(super) fn local(&self) -> Option<&Local> {
        Some(&self.local).filter(|_| self.policy == OnStoreError::Local)
    }

    /// Applies a decision of the store to the local logs: a reset clears the log of the id, and a reported anomaly pauses
    /// counting, so that it is not reported here as well.
    pub fn on_decision(&self, request: &Request, outcome: &Outcome) {
        let Local { logs, journal } = &self.local;
        if request.op == Op::Reset {
            journal.forget(logs, &request.id);
        }
        let pause = match outcome.anomaly_status {
            AnomalyStatus::Anomaly(_) => self.rules.anomaly.map(|rule| rule.window().ms()),
            AnomalyStatus::Paused(pause) => Some(pause.get()),
            AnomalyStatus::None | AnomalyStatus::Below(_) => None,
        };
        if let Some(pause) = pause.and_then(NonZeroU64::new)
            && self.policy == OnStoreError::Local
        {
            logs.pause(&request.id, self.rules, pause);
        }
    }

    fn policy_decision(&self, source: Source, request: &Request) -> Decision {
        let now: Millis = self.local.logs.clock().now();
        if source == Source::Open {
            Decision {
                verdict: Verdict::Allowed,
                remaining: request.limit.get(),
                reset: now + self.rules.window.ms(),
                reset_after: self.rules.window.ms(),
            }
        } else {
            Decision {
                verdict: Verdict::Denied {
                    retry_after: CLOSED_RETRY_AFTER_MS,
                },
                remaining: 0,
                reset: now + CLOSED_RETRY_AFTER_MS.get(),
                reset_after: CLOSED_RETRY_AFTER_MS.get(),
            }
        }
    }
}
