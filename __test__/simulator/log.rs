//! The log of one id on a modelled server, with the semantics of check.lua and replay.lua.
//!
//! Written after the scripts, and not with the product's own log: a test below compares the two. Expired admissions leave at once
//! and keys have no TTL, neither of which a client can see.

use std::collections::VecDeque;

pub type Millis = u64;

/// ARGV 1 and 2 of both scripts, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub window: Millis,
    /// 0: no anomalies.
    pub anomaly_window: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Check,
    Limit,
    Status,
    Reset,
    Denied(u32),
}

/// The operation of a request, with its limit and anomaly threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub op: Op,
    pub limit: u32,
    pub threshold: u32,
}

/// The values of one request in the reply of check.lua.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// A plain admission, which has no entry in the reply.
    pub plain: bool,
    pub allowed: bool,
    /// The remaining slots; of a denial, for how long its id is not counted.
    pub second: u64,
    pub reset: Millis,
    pub retry: Millis,
    pub anomaly: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tally {
    Counting { opened: Millis, denied: u32 },
    Reported { at: Millis },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Newest first.
    admissions: VecDeque<Millis>,
    tally: Option<Tally>,
    /// Another program has written the key.
    pub foreign: bool,
}

pub const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
pub const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// The decisions of a process during an outage, as the arguments of replay.lua: ages in ms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    pub reset: Option<Millis>,
    pub reported: Option<Millis>,
    pub ages: Vec<Millis>,
}

impl Log {
    /// A value that another program has written.
    pub fn foreign() -> Self {
        Self {
            foreign: true,
            ..Self::default()
        }
    }

    /// The admissions later than `now - window`.
    fn live(&self, now: Millis, window: Millis) -> usize {
        self.later_than(now.saturating_sub(window))
    }

    fn later_than(&self, moment: Millis) -> usize {
        self.admissions.partition_point(|&at| at > moment)
    }

    /// Decides one request. `full_memory`: the server refuses to grow.
    ///
    /// # Errors
    /// The server's error for this key.
    pub fn decide(
        &mut self,
        now: Millis,
        rules: Rules,
        kind: Kind,
        full_memory: bool,
    ) -> Result<Entry, &'static str> {
        let Kind { op, limit, .. } = kind;
        let window = rules.window;
        let entry = |second, reset| Entry {
            plain: false,
            allowed: true,
            second,
            reset,
            retry: 0,
            anomaly: 0,
        };
        if op == Op::Reset {
            *self = Self::default();
            return Ok(entry(u64::from(limit), now + window));
        }
        if self.foreign {
            return Err(WRONGTYPE);
        }
        let live = self.live(now, window);
        self.admissions.truncate(live);
        let remaining = |live: usize| u64::from(limit).saturating_sub(live as u64);
        if op == Op::Status {
            let newest = self.admissions.front().copied().unwrap_or(now);
            return Ok(entry(remaining(live), newest + window));
        }
        let takes = matches!(op, Op::Check | Op::Limit);
        if full_memory && (!takes || live < limit as usize) {
            return Err(OOM);
        }
        let early = self.admissions.front().is_none_or(|&newest| newest <= now);
        if takes && self.tally.is_none() && early && live < limit as usize {
            self.admissions.push_front(now);
            let plain = op == Op::Check;
            let second = if plain { 0 } else { remaining(live + 1) };
            return Ok(Entry {
                plain,
                ..entry(second, now + window)
            });
        }
        self.decide_slowly(now, rules, kind, full_memory, live)
    }

    fn decide_slowly(
        &mut self,
        now: Millis,
        rules: Rules,
        Kind {
            op,
            limit,
            threshold,
        }: Kind,
        full_memory: bool,
        live: usize,
    ) -> Result<Entry, &'static str> {
        let (window, anomaly_window) = (rules.window, rules.anomaly_window);
        let tally = self
            .tally
            .filter(|tally| tally.started() + anomaly_window > now);
        let counting = !matches!(op, Op::Check | Op::Limit);
        let previous = self.admissions.front().copied();
        let stamp = previous.map_or(now, |newest| newest.max(now));
        let allowed = !counting && live < limit as usize;
        let blocking = (live >= limit as usize).then(|| self.admissions[limit as usize - 1]);
        let retry = blocking.map_or(0, |last| last + window - now);
        let (mut anomaly, mut paused, mut counted) = (0, 0, None);
        if let Some(Tally::Reported { at }) = tally {
            paused = (anomaly_window as i64 + (at as i64 - now as i64).min(0)) as u64;
            counted = tally;
        } else if anomaly_window > 0 && (tally.is_some() || !allowed) {
            let denials = match op {
                Op::Denied(denials) => denials,
                _ => u32::from(!allowed),
            };
            let (opened, denied) = match tally {
                Some(Tally::Counting { opened, denied }) => (opened, denied),
                _ => (now, 0),
            };
            let since = now.saturating_sub(anomaly_window);
            let recent = u64::from(allowed && stamp > since);
            let (denied, many) = (u64::from(denied), u64::from(denials));
            let threshold = u64::from(threshold);
            let others = match previous {
                Some(newest) if newest > since => {
                    if denied + many + recent + live as u64 > threshold {
                        self.later_than(since) as u64
                    } else {
                        live as u64
                    }
                }
                _ => 0,
            };
            let requests = denied + many + recent + others;
            if requests <= threshold {
                anomaly = requests as i64 - threshold as i64 - 1;
                let denied = (denied + many) as u32;
                counted = Some(Tally::Counting { opened, denied });
            } else {
                let beyond = (requests - threshold - 1).min(many.saturating_sub(1));
                anomaly = (requests - beyond) as i64;
                counted = Some(Tally::Reported { at: now });
            }
        }
        if full_memory && counted.is_some() && counted != self.tally {
            // The denial stands; its count is refused.
            (anomaly, paused, counted) = (0, anomaly_window, self.tally);
        }
        self.tally = counted;
        if allowed {
            self.admissions.push_front(stamp);
        }
        let newest = self.admissions.front().copied().unwrap_or(now);
        let positive = allowed || counting;
        Ok(Entry {
            plain: false,
            allowed: positive,
            second: if positive {
                u64::from(limit).saturating_sub(self.admissions.len() as u64)
            } else {
                paused
            },
            reset: newest + window,
            retry,
            anomaly: if positive { anomaly.max(0) } else { anomaly },
        })
    }

    /// Enters the decisions of a process. Returns the number of admissions entered.
    ///
    /// # Errors
    /// The server's error for this key.
    pub fn replay(
        &mut self,
        now: Millis,
        rules: Rules,
        replayed: &Replayed,
        full_memory: bool,
    ) -> Result<usize, &'static str> {
        if self.foreign {
            return Err(WRONGTYPE);
        }
        let mut moments: Vec<_> = replayed
            .ages
            .iter()
            .map(|age| now.saturating_sub(*age))
            .collect();
        moments.retain(|moment| moment + rules.window > now);
        if full_memory && !moments.is_empty() {
            return Err(OOM);
        }
        if let Some(age) = replayed.reset {
            let later = self.later_than(now.saturating_sub(age));
            self.admissions.truncate(later);
            self.tally = None;
        }
        let entered = moments.len();
        if entered > 0 {
            moments.extend(&self.admissions);
            moments.sort_unstable_by(|a, b| b.cmp(a));
            self.admissions = moments.into();
        }
        if let Some(at) = replayed.reported.map(|age| now.saturating_sub(age)) {
            let known = matches!(self.tally, Some(Tally::Reported { at: known }) if known >= at);
            if at + rules.anomaly_window > now && !known {
                self.tally = Some(Tally::Reported { at });
            }
        }
        Ok(entered)
    }
}

impl Tally {
    fn started(self) -> Millis {
        match self {
            Self::Counting { opened, .. } => opened,
            Self::Reported { at } => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use huntaze_rate_limit::quota::{AnomalyRule, AnomalyStatus, History, Limit, Window};

    use super::*;

    /// The model against the product's pure log, on random histories of one id.
    #[test]
    fn the_model_decides_as_the_pure_log_does() {
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (window, anomaly_window) =
                ([10, 1000, 60_000][seed as usize % 3], random.u64(1..2000));
            let window_of = |ms| Window::new(ms).unwrap();
            let factor = 1.0 + random.f64() * 2.0;
            let rule =
                AnomalyRule::new(factor, window_of(anomaly_window), window_of(window)).unwrap();
            let pure = huntaze_rate_limit::quota::Rules {
                window: window_of(window),
                anomaly: Some(rule),
            };
            let rules = Rules {
                window,
                anomaly_window: rule.window().ms(),
            };
            let (mut log, mut history) = (Log::default(), History::default());
            let mut now = 1_753_000_000_000;
            for _ in 0..60 {
                now += [0, 1, window / 7, window, 3][random.usize(..5)];
                let limit = random.u32(1..5);
                let threshold = rule.threshold(Limit::new(limit).unwrap());
                let op = [
                    Op::Check,
                    Op::Check,
                    Op::Limit,
                    Op::Status,
                    Op::Denied(2),
                    Op::Reset,
                ][random.usize(..6)];
                let entry = log
                    .decide(
                        now,
                        rules,
                        Kind {
                            op,
                            limit,
                            threshold,
                        },
                        false,
                    )
                    .unwrap();
                let limit = Limit::new(limit).unwrap();
                let (mut expected, mut anomaly) = (history.status(now, pure, limit), 0);
                match op {
                    Op::Check | Op::Limit => {
                        let outcome = history.check(now, pure, limit);
                        expected = outcome.decision;
                        anomaly = outcome.anomaly_status.anomaly().unwrap_or(0);
                        if let AnomalyStatus::Paused(ms) = outcome.anomaly_status {
                            assert_eq!(entry.second, ms.get());
                        }
                    }
                    Op::Denied(n) => {
                        anomaly = history
                            .count_denials(now, pure, limit, n)
                            .anomaly()
                            .unwrap_or(0)
                    }
                    Op::Reset => history = History::default(),
                    Op::Status => {}
                }
                assert_eq!(entry.anomaly.max(0), i64::from(anomaly), "{seed} {op:?}");
                if matches!(op, Op::Check | Op::Limit) {
                    assert_eq!(
                        entry.allowed,
                        expected.is_allowed(),
                        "{seed} {op:?} at {now}"
                    );
                    assert_eq!(
                        entry.retry,
                        expected.retry_after_ms(),
                        "{seed} {op:?} at {now}"
                    );
                }
                if op == Op::Limit || op == Op::Status {
                    assert_eq!(entry.reset, expected.reset, "{seed}");
                    assert!(
                        !entry.allowed || entry.second == u64::from(expected.remaining),
                        "{seed}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_replay_enters_admissions_at_their_moments_and_a_reset_before_them() {
        let rules = Rules {
            window: 1000,
            anomaly_window: 0,
        };
        let check = Kind {
            op: Op::Check,
            limit: 3,
            threshold: 0,
        };
        let mut log = Log::default();
        let now = 1_753_000_000_000;
        log.decide(now, rules, check, false).unwrap();
        log.decide(now + 500, rules, check, false).unwrap();
        let replayed = Replayed {
            reset: Some(200),
            reported: None,
            ages: vec![50, 150],
        };
        assert_eq!(log.replay(now + 600, rules, &replayed, false), Ok(2));
        assert_eq!(
            Vec::from(log.admissions.clone()),
            [now + 550, now + 500, now + 450]
        );
        let entry = log.decide(now + 700, rules, check, false).unwrap();
        assert_eq!((entry.allowed, entry.retry), (false, 750));
    }
}
