//! The state of one id in a store: its log and, once it has been denied, a tally for the anomaly rule.

use std::num::NonZeroU64;

use super::{AnomalyStatus, Decision, Limit, Log, Millis, Quota, Rules, Tally};

/// The log and the tally of one id. The limit is not part of it: an id under a new limit keeps its history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    log: Log,
    tally: Option<Tally>,
}

/// A decision, and the result of the anomaly rule for the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// The result of the anomaly rule. Of an admitted request, only an anomaly.
    pub anomaly_status: AnomalyStatus,
}

impl Outcome {
    /// A decision without a count.
    pub fn of(decision: Decision) -> Self {
        Self {
            decision,
            anomaly_status: AnomalyStatus::None,
        }
    }
}

impl History {
    /// Decides and records one request at `now`. The anomaly rule reads the decision and cannot change it.
    pub fn check(&mut self, now: Millis, rules: Rules, limit: Limit) -> Outcome {
        let quota = Quota {
            limit,
            window: rules.window,
        };
        let decision = self.log.check(now, quota);
        let denials = u32::from(!decision.is_allowed());
        let anomaly_status = match self.count_denials(now, rules, limit, denials) {
            anomaly @ AnomalyStatus::Anomaly(_) => anomaly,
            _ if denials == 0 => AnomalyStatus::None,
            status => status,
        };
        Outcome {
            decision,
            anomaly_status,
        }
    }

    /// Counts denials, also those that were decided without the log.
    pub fn count_denials(
        &mut self,
        now: Millis,
        rules: Rules,
        limit: Limit,
        denials: u32,
    ) -> AnomalyStatus {
        let observe = |rule| Tally::observe(&mut self.tally, now, denials, &self.log, rule, limit);
        rules.anomaly.map_or(AnomalyStatus::None, observe)
    }

    /// Another history of the id has reported an anomaly: no request is counted here for `pause` ms from `now` on.
    pub fn pause(&mut self, now: Millis, rules: Rules, pause: NonZeroU64) {
        let Some(rule) = rules.anomaly else { return };
        let at = (now + pause.get()).saturating_sub(rule.window().ms());
        self.tally = Some(Tally::Reported { at });
    }

    /// The status of the id. Records nothing.
    pub fn status(&self, now: Millis, rules: Rules, limit: Limit) -> Decision {
        let quota = Quota {
            limit,
            window: rules.window,
        };
        self.log.status(now, quota)
    }

    /// The admissions, newest first; the last ones may have expired.
    pub fn moments(&self) -> impl Iterator<Item = Millis> {
        self.log.moments()
    }

    /// The number of [`moments`](Self::moments).
    pub(crate) fn admissions(&self) -> usize {
        self.log.len()
    }

    /// Whether all of it has expired: it cannot change a later decision or report.
    pub fn is_idle(&self, now: Millis, rules: Rules) -> bool {
        let expired = |opened: Millis, window: Millis| opened + window <= now;
        let log = self.log.newest();
        let tally = self.tally.zip(rules.anomaly);
        log.is_none_or(|newest| expired(newest, rules.window.ms()))
            && tally.is_none_or(|(t, rule)| expired(t.started_at(), rule.window().ms()))
    }
}
