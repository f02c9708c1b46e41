//! The reference: everything that ever happened to one id, in plain lists, counted again for every answer.
//!
//! It forgets nothing and optimizes nothing, so that it can be read against contract.md line by line. It is right for a
//! clock that does not step back.

use huntaze_rate_limit::quota::{Limit, Millis, Rules};
use huntaze_rate_limit::store::Op;

/// One id.
#[derive(Debug, Clone, Default)]
pub struct Naive {
    admissions: Vec<Millis>,
    denials: Vec<Millis>,
    tally: Option<Opened>,
    reported: Option<Millis>,
}

/// The tally of the anomaly rule. It counts denials from an index in the list of all denials.
#[derive(Debug, Clone, Copy)]
struct Opened {
    at: Millis,
    first_denial: usize,
}

/// What the contract promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// `None` where the request takes no slot.
    pub allowed: Option<bool>,
    pub retry_after: Millis,
    pub remaining: u32,
    pub reset: Millis,
    pub anomaly: Option<u32>,
}

impl Naive {
    pub fn answer(&mut self, now: Millis, rules: Rules, op: Op, limit: Limit) -> Expected {
        match op {
            Op::Check | Op::Limit => self.check(now, rules, limit.get()),
            Op::Status => self.status(now, rules, limit.get()),
            Op::Reset => {
                *self = Self::default();
                self.status(now, rules, limit.get())
            }
            Op::CountDenials(denials) => {
                let mut anomaly = None;
                for _ in 0..denials {
                    self.denials.push(now);
                    anomaly = anomaly.or(self.observe(now, rules, limit.get(), false));
                }
                Expected {
                    anomaly,
                    ..self.status(now, rules, limit.get())
                }
            }
        }
    }

    /// Admissions in `(at − span, at]`.
    pub fn counted(&self, at: Millis, span: Millis) -> usize {
        let inside = |&&t: &&Millis| t <= at && t + span > at;
        self.admissions.iter().filter(inside).count()
    }

    fn check(&mut self, now: Millis, rules: Rules, limit: u32) -> Expected {
        let window = rules.window.ms();
        let allowed = self.counted(now, window) < limit as usize;
        let mut retry_after = 0;
        if allowed {
            self.admissions.push(now);
        } else {
            // A slot can free only when an admission leaves; the first such moment with a free slot is the promise.
            let leaving = self.admissions.iter().map(|t| t + window);
            let has_slot = |at: &Millis| *at > now && self.counted(*at, window) < limit as usize;
            retry_after = leaving.filter(has_slot).min().unwrap() - now;
            self.denials.push(now);
        }
        let anomaly = self.observe(now, rules, limit, allowed);
        Expected {
            allowed: Some(allowed),
            retry_after,
            anomaly,
            ..self.status(now, rules, limit)
        }
    }

    fn status(&self, now: Millis, rules: Rules, limit: u32) -> Expected {
        let window = rules.window.ms();
        let counted = self.counted(now, window);
        let newest = self.admissions.iter().filter(|&&t| t + window > now).max();
        Expected {
            allowed: None,
            retry_after: 0,
            remaining: limit.saturating_sub(counted as u32),
            reset: newest.copied().unwrap_or(now) + window,
            anomaly: None,
        }
    }

    /// The rule as contract.md words it: a denial opens a count, which closes one anomaly window later; the denials since and
    /// the admissions of the last anomaly window are counted. A report ends it, and for a window nothing is counted.
    fn observe(&mut self, now: Millis, rules: Rules, limit: u32, allowed: bool) -> Option<u32> {
        let rule = rules.anomaly?;
        let span = rule.window().ms();
        if self.reported.is_some_and(|at| now - at < span) {
            return None;
        }
        self.tally = self.tally.filter(|tally| now - tally.at < span);
        if self.tally.is_none() && !allowed {
            self.tally = Some(Opened {
                at: now,
                first_denial: self.denials.len() - 1,
            });
        }
        let tally = self.tally?;
        let denied = self.denials.len() - tally.first_denial;
        let requests = (denied + self.counted(now, span)) as u32;
        if requests <= rule.threshold(limit_of(limit)) {
            return None;
        }
        self.tally = None;
        self.reported = Some(now);
        Some(requests)
    }
}

fn limit_of(n: u32) -> Limit {
    Limit::new(n).unwrap()
}
