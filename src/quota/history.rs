//! What a store keeps for one id: its log and, once it has been denied, a tally for the anomaly rule.

use std::num::NonZeroU64;

use super::{Count, Decision, Limit, Log, Millis, Quota, Rules, Tally};

/// One id's log and tally. The plan is not part of it: a creator who moves to another plan keeps the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    log: Log,
    tally: Option<Tally>,
}

/// A decision, and what the anomaly rule makes of the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The answer to the request.
    pub decision: Decision,
    /// What the anomaly rule makes of it. Of a request that was admitted, only whether it is an anomaly.
    pub count: Count,
}

impl Outcome {
    /// A decision of which there is nothing else to tell.
    pub fn of(decision: Decision) -> Self {
        Self {
            decision,
            count: Count::None,
        }
    }
}

impl History {
    /// Decides and records one request at `now`. The anomaly rule sees the decision and cannot change it.
    pub fn check(&mut self, now: Millis, rules: Rules, limit: Limit) -> Outcome {
        let quota = Quota {
            limit,
            window: rules.window,
        };
        let decision = self.log.check(now, quota);
        let denials = u32::from(!decision.is_allowed());
        let count = match self.count_denials(now, rules, limit, denials) {
            anomaly @ Count::Anomaly(_) => anomaly,
            _ if denials == 0 => Count::None,
            count => count,
        };
        Outcome { decision, count }
    }

    /// Counts denials, those that were decided without the log too.
    pub fn count_denials(
        &mut self,
        now: Millis,
        rules: Rules,
        limit: Limit,
        denials: u32,
    ) -> Count {
        let observe = |rule| Tally::observe(&mut self.tally, now, denials, &self.log, rule, limit);
        rules.anomaly.map_or(Count::None, observe)
    }

    /// An anomaly was reported by another history of the id: nothing is counted here for so many ms from `now`.
    pub fn pause(&mut self, now: Millis, rules: Rules, pause: NonZeroU64) {
        let Some(rule) = rules.anomaly else { return };
        let at = (now + pause.get()).saturating_sub(rule.window().ms());
        self.tally = Some(Tally::Reported { at });
    }

    /// Where the id stands, with nothing recorded.
    pub fn status(&self, now: Millis, rules: Rules, limit: Limit) -> Decision {
        let quota = Quota {
            limit,
            window: rules.window,
        };
        self.log.status(now, quota)
    }

    /// Its admissions, newest first; some at the end may have expired.
    pub fn moments(&self) -> impl Iterator<Item = Millis> {
        self.log.moments()
    }

    /// How many these are.
    pub(crate) fn admissions(&self) -> usize {
        self.log.len()
    }

    /// Whether nothing in it can change a later decision or report.
    pub fn is_idle(&self, now: Millis, rules: Rules) -> bool {
        let expired = |opened: Millis, window: Millis| opened + window <= now;
        let log = self.log.newest();
        let tally = self.tally.zip(rules.anomaly);
        log.is_none_or(|newest| expired(newest, rules.window.ms()))
            && tally.is_none_or(|(t, rule)| expired(t.since(), rule.window().ms()))
    }
}
