//! The claim: how many requests are admitted in a window, by Redis and by processes alone, and that processes enter their
//! admissions into Redis.

use huntaze_rate_limit::store::Answer;

use super::checker::{Admission, Asked, Checker, Local};
use super::log::Millis;
use super::plan::{MS, SECOND, UserOp};
use super::server::{KeyId, Micros, Record};

impl Checker {
    /// Replays of `process` were executed; `confirmed`: in the end the engine has had the reply in time.
    pub fn replayed(
        &mut self,
        key: KeyId,
        process: usize,
        ages: &[Millis],
        at: Micros,
        sent: Micros,
        stood: Micros,
    ) {
        let count = ages.len() as u64;
        if count == 0 {
            return;
        }
        let window = self.window_of(key);
        let state = self.key(key);
        *state.entered.entry(process).or_default() += count;
        let (entered, made) = (
            state.entered[&process],
            state.made.get(&process).copied().unwrap_or(0),
        );
        if entered > 2 * made {
            self.fail("replay", at, || {
                format!(
                    "{entered} admissions were entered of {made} that process {process} has made"
                )
            });
            return;
        }
        // Each is entered at the moment of an admission, or later by the time that it took to the server.
        let transit = at - sent
            + 1300 * MS
            + 2 * self
                .plan
                .limiters
                .iter()
                .map(|l| l.deadline)
                .max()
                .unwrap_or(0)
                * MS;
        let state = self.key(key);
        let local = state.history.get(&process).cloned().unwrap_or_default();
        for &age in ages {
            let entered = at.saturating_sub(age * 1000) as i64;
            let fits = |made: &Local| {
                let made = made.at as i64;
                (made - 2000..=made + (transit + stood) as i64).contains(&entered)
            };
            if age < window && !local.is_empty() && !local.iter().any(fits) {
                self.fail("I2", at, || format!("an admission of process {process} was entered with the age of {age} ms: {local:?}"));
            }
        }
    }

    /// The reply to a replay has arrived soon after it was sent. Unless it may have been waiting for a connection for long before.
    pub fn confirmed(
        &mut self,
        key: KeyId,
        process: usize,
        (count, newest): (u64, Millis),
        sent: Micros,
        at: Micros,
    ) {
        let history = self
            .key(key)
            .history
            .get(&process)
            .cloned()
            .unwrap_or_default();
        let taken = |made: &Local| made.at + newest * 1000;
        if history
            .iter()
            .any(|made| taken(made) + 300 * MS < sent && taken(made) + 3 * SECOND > sent)
        {
            return;
        }
        let state = self.key(key);
        let confirmed = state.confirmed.entry(process).or_default();
        *confirmed += count;
        let (confirmed, made) = (*confirmed, state.made.get(&process).copied().unwrap_or(0));
        if confirmed > made {
            self.fail("replay", at, || format!("{confirmed} admissions are known to be entered of {made} that process {process} has made"));
        }
    }

    /// The store is back for a limiter: all admissions of the limiter during the outage must be entered.
    pub fn back(
        &mut self,
        engine: usize,
        process: usize,
        limiter: usize,
        now: Micros,
        disturbed: bool,
    ) {
        let seen = &mut self.seen[engine][limiter];
        let Some(since) = seen.away.take() else {
            return self.fail("changes", now, || {
                format!("the store was not away for limiter {limiter} of engine {engine}")
            });
        };
        self.open.0 += now - since;
        if self.plan.clustered || disturbed {
            return;
        }
        let window = self.window(limiter) * MS;
        for key in 0..self.keys.len() {
            let state = &self.keys[key];
            let entered = state.entered.get(&process).copied().unwrap_or(0);
            let Some(local) = state.local.get(&process) else {
                continue;
            };
            let of_outage = |made: &&Local| {
                made.limiter == (engine, limiter)
                    && made.at >= since
                    && made.at + window > now + 20 * MS
            };
            let due = local.iter().filter(of_outage).count() as u64;
            if entered < due {
                self.fail("replay", now, || {
                    format!("the breaker of limiter {limiter} of engine {engine} is closed, and of {due} admissions under key {key} since {since} us {entered} are entered")
                });
                return;
            }
        }
    }

    /// I1: in every window at most the limit was admitted, plus the writes that failovers lost, plus one limit for each process.
    pub(super) fn claim(&mut self, key: usize, now: Micros) {
        let window = self.window_of(key as KeyId) * MS;
        let state = &self.keys[key];
        if !state.resets.is_empty() {
            return;
        }
        let mut admitted = state.admitted.clone();
        admitted.extend(state.asked.iter().filter_map(|&number| {
            let asked = &self.asked[number];
            let takes = matches!(asked.op, UserOp::Check | UserOp::Limit);
            let allowed = asked
                .answer
                .is_some_and(|answer| answer.outcome.decision.is_allowed());
            let record = asked.record.filter(|_| takes && allowed)?;
            Some(Admission {
                at: self.records[record].at + self.owners[record].forward,
                limit: asked.limit,
                local: None,
                record,
            })
        }));
        admitted.sort_by_key(|admission| admission.at);
        let mut begin = 0;
        for at in 0..admitted.len() {
            // A server's clock counts whole milliseconds.
            while admitted[begin].at + window <= admitted[at].at + MS {
                begin += 1;
                if begin == at {
                    break;
                }
            }
            let recent = &admitted[begin..=at];
            let limit = recent
                .iter()
                .map(|admission| admission.limit)
                .max()
                .unwrap_or(0);
            let records = recent
                .iter()
                .filter_map(|admission| self.records.get(admission.record));
            let lost = records.filter(|record| self.is_lost(record)).count();
            let by_redis = recent
                .iter()
                .filter(|admission| admission.local.is_none())
                .count();
            if by_redis > limit as usize + lost {
                let message = format!(
                    "{by_redis} were admitted under key {key} within a window at a limit of {limit}, {lost} of them lost"
                );
                return self.fail("I1", now, || message);
            }
            let mut processes: Vec<_> = recent
                .iter()
                .filter_map(|admission| admission.local)
                .collect();
            processes.sort_unstable();
            processes.dedup();
            if recent.len() > limit as usize * (1 + processes.len()) + lost {
                let message = format!(
                    "{} were admitted under key {key} within a window at a limit of {limit} and by {} processes themselves",
                    recent.len(),
                    processes.len()
                );
                return self.fail("I1", now, || message);
            }
        }
    }

    /// The process's own logs admit no more than a limit.
    pub(super) fn by_process(&mut self, number: u32, asked: &Asked, answer: &Answer, now: Micros) {
        let window = self.window(asked.limiter) * MS;
        let (process, limiter) = (asked.process, (asked.engine, asked.limiter));
        let anomaly = answer.outcome.anomaly_status.anomaly().is_some();
        let (forward, engine) = (self.forward, asked.engine);
        let state = self.key(asked.key);
        state.found += u64::from(anomaly);
        match asked.op {
            UserOp::Reset => {
                state.local.remove(&process);
                state.resets.push((now, engine));
            }
            UserOp::Check | UserOp::Limit if answer.outcome.decision.is_allowed() => {
                *state.made.entry(process).or_default() += 1;
                state
                    .history
                    .entry(process)
                    .or_default()
                    .push(Local { at: now, limiter });
                let local = state.local.entry(process).or_default();
                local.push(Local { at: now, limiter });
                let recent = local
                    .iter()
                    .filter(|made| made.at + window > now + 2 * MS)
                    .count();
                state.admitted.push(Admission {
                    at: now + forward,
                    limit: asked.limit,
                    local: Some(process),
                    record: usize::MAX,
                });
                if recent > asked.limit as usize {
                    self.fail("I1", now, || format!("process {process} has admitted {recent} by itself, request {number} the last, at a limit of {}", asked.limit));
                }
            }
            _ => {}
        }
    }

    pub(super) fn is_lost(&self, record: &Record) -> bool {
        let mut losses = self.losses.iter();
        losses.any(|&(node, since, until)| {
            record.node == node && since < record.at && record.at <= until
        })
    }

    pub(super) fn window_of(&self, key: KeyId) -> Millis {
        let name = key as usize / self.plan.ids;
        self.plan
            .limiters
            .iter()
            .find(|limiter| limiter.name == name)
            .map_or(0, |limiter| limiter.window)
    }
}
