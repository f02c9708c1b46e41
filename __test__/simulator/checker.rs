//! The invariants, checked on the answers of the users and on the calls that the servers executed.

use std::collections::BTreeMap;

use huntaze_rate_limit::store::{Answer, Source};

use super::log::{Millis, Op};
use super::plan::{FaultKind, MS, Plan, SECOND, UserOp};
use super::server::{Done, KeyId, Micros, Record};

/// Of a process: when it last went on, and how long its steady clock has stood still.
#[derive(Debug, Clone, Copy)]
pub struct Clocks {
    pub thawed: Micros,
    pub suspended: Micros,
    /// How long it has stood still.
    pub stood: Micros,
}

/// A rule that a run has broken.
#[derive(Debug, Clone)]
pub struct Failure {
    pub rule: &'static str,
    pub message: String,
}

/// A request of a user.
#[derive(Debug, Clone)]
pub struct Asked {
    pub engine: usize,
    pub process: usize,
    pub limiter: usize,
    pub key: KeyId,
    pub op: UserOp,
    pub limit: u32,
    pub at: Micros,
    pub deadline: Micros,
    /// How long the steady clock of the process had stood still.
    pub suspended: Micros,
    /// The user returns this many times.
    pub retries: u8,
    pub settled: Option<Micros>,
    /// The answer, if Redis has decided it.
    pub answer: Option<Answer>,
    /// The execution that the answer is matched with: the number of the record.
    pub record: Option<usize>,
    /// The breaker was open: it must not be sent.
    pub open: bool,
    /// Its worker thread has ended: no caller waits for it any more.
    pub excused: bool,
}

impl Asked {
    pub fn new(
        engine: usize,
        process: usize,
        limiter: usize,
        key: KeyId,
        op: UserOp,
        limit: u32,
        retries: u8,
    ) -> Self {
        Self {
            engine,
            process,
            limiter,
            key,
            op,
            limit,
            at: 0,
            deadline: 0,
            suspended: 0,
            retries,
            settled: None,
            answer: None,
            record: None,
            open: false,
            excused: false,
        }
    }
}

/// The admissions of a key's server and of its users.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// The numbers of the records of checks, resets and questions for the status.
    pub(super) executed: Vec<usize>,
    /// The numbers of the requests.
    pub(super) asked: Vec<usize>,
    /// Admissions of processes by themselves: time on the store's clock, limit, process.
    pub(super) admitted: Vec<Admission>,
    /// Admissions of each process by itself, since it was last reset there.
    pub(super) local: BTreeMap<usize, Vec<Local>>,
    /// The same, resets or not.
    pub(super) history: BTreeMap<usize, Vec<Local>>,
    /// All of them, and those that replays have entered: with a reply that has arrived in time, and at all.
    pub(super) made: BTreeMap<usize, u64>,
    pub(super) confirmed: BTreeMap<usize, u64>,
    pub(super) entered: BTreeMap<usize, u64>,
    /// Denials from the deny cache, and those that were counted.
    pub(super) repeated: u64,
    pub(super) counted: u64,
    /// Anomalies that a server found, and that were reported.
    pub(super) found: u64,
    pub(super) reported: u64,
    /// When an engine's reset was executed, and which engine's.
    pub(super) resets: Vec<(Micros, usize)>,
    /// The last promise of Redis for each limit: when it was made, the moment, and by how much that may be too late.
    pub(super) promised: BTreeMap<u32, (Micros, Micros, Micros)>,
    /// When Redis last denied a request under each limit, by engine, and until when it promised to.
    pub(super) denied: BTreeMap<(usize, u32), (Micros, Micros)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    /// On the store's clock, in us: steps forward are in it, steps back are not.
    pub(super) at: Micros,
    pub(super) limit: u32,
    /// Of a process of its own, and not of Redis.
    pub(super) local: Option<usize>,
    pub(super) record: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    pub(super) at: Micros,
    pub(super) limiter: (usize, usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) engine: usize,
    pub(super) forward: Micros,
    pub(super) request: Option<usize>,
}

/// The breaker of one limiter of one engine, as its changes tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub away: Option<Micros>,
    pub(super) changes: u32,
}

pub struct Checker {
    pub(super) plan: Plan,
    pub asked: Vec<Asked>,
    pub records: Vec<Record>,
    /// Of each record its engine, how far the store's clock had been set forward, and the request that it is matched with.
    pub(super) owners: Vec<Owner>,
    pub(super) keys: Vec<KeyState>,
    /// By engine, and in it by limiter.
    pub seen: Vec<Vec<Seen>>,
    pub failure: Option<Failure>,
    pub(super) benign: bool,
    /// The only faults are processes that stand still.
    pub(super) only_freezes: bool,
    /// The only faults are connections that end.
    pub(super) only_resets: bool,
    /// How long breakers were open, and how often they were opened.
    pub open: (Micros, u64),
    /// How far the store's clock was set forward, in us.
    pub forward: Micros,
    /// Until this moment the memory of a process may be wrong, after a failover or a clock that was set back.
    pub excused: Micros,
    /// Of each engine, how many decisions need not come from Redis though all others do: one a connection to a demoted server.
    pub(super) leeway: Vec<u8>,
    /// All decisions have to come from Redis now.
    pub strict: bool,
    /// Answers by source, for the report of many runs.
    pub answers: [u64; Source::ALL.len()],
    pub failed: u64,
    /// Writes lost by failovers: the node, and the first and the last moment.
    pub losses: Vec<(usize, Micros, Micros)>,
    /// Allowed and denied by source, and failed, of each name and process.
    pub counts: BTreeMap<(usize, usize), [u64; 2 * Source::ALL.len() + 1]>,
}

impl Checker {
    pub fn new(plan: &Plan) -> Self {
        Self {
            asked: Vec::new(),
            records: Vec::new(),
            owners: Vec::new(),
            keys: Vec::new(),
            seen: vec![vec![Seen::default(); plan.limiters.len()]; plan.engines()],
            failure: None,
            benign: plan.is_benign(),
            only_freezes: plan.has_only_long_freezes(),
            only_resets: plan
                .has_only(|kind| matches!(kind, FaultKind::Cut { .. } | FaultKind::CloseIdle)),
            open: (0, 0),
            forward: 0,
            excused: 0,
            leeway: match plan.has_failover_by_name() {
                true => vec![plan.connections - 1; plan.engines()],
                false => vec![0; plan.engines()],
            },
            strict: false,
            answers: Default::default(),
            failed: 0,
            losses: Vec::new(),
            counts: BTreeMap::new(),
            plan: plan.clone(),
        }
    }

    /// Notes that `rule` is broken. The first failure counts.
    pub fn fail(&mut self, rule: &'static str, at: Micros, message: impl FnOnce() -> String) {
        if self.failure.is_none() {
            let message = message();
            let message = format!("at {} ms: {message}", at / MS);
            self.failure = Some(Failure { rule, message });
        }
    }

    pub(super) fn key(&mut self, key: KeyId) -> &mut KeyState {
        let at = key as usize;
        if at >= self.keys.len() {
            self.keys.resize_with(at + 1, KeyState::default);
        }
        &mut self.keys[at]
    }

    pub(super) fn window(&self, limiter: usize) -> Millis {
        self.plan.limiters[limiter].window
    }

    /// A user has asked. Returns the number of the request.
    pub fn asks(&mut self, asked: Asked) -> u32 {
        let number = self.asked.len();
        self.key(asked.key).asked.push(number);
        self.asked.push(asked);
        number as u32
    }

    /// A server has executed requests, over a connection of `engine`.
    pub fn executed(&mut self, record: Record, engine: usize, reserved: bool) {
        let number = self.records.len();
        let (key, at) = (record.key, record.at);
        match &record.done {
            Done::Decided(kind, entry) if !reserved => {
                let (op, anomaly) = (kind.op, entry.anomaly);
                let state = self.key(key);
                state.found += u64::from(anomaly > 0);
                match op {
                    Op::Denied(denials) => {
                        state.counted += u64::from(denials);
                        let (counted, repeated) = (state.counted, state.repeated);
                        if counted > repeated {
                            self.fail("I19", at, || {
                                format!("{counted} denials were counted of {repeated} that the deny cache has repeated")
                            });
                        }
                    }
                    Op::Reset => {
                        state.resets.push((at, engine));
                        state.promised.clear();
                        state.executed.push(number);
                    }
                    _ => {
                        if !entry.allowed {
                            let until = at + entry.retry * MS;
                            let promise = state.denied.entry((engine, kind.limit)).or_default();
                            *promise = (at, until.max(promise.1));
                        }
                        state.executed.push(number);
                    }
                }
            }
            _ => {}
        }
        self.records.push(record);
        self.owners.push(Owner {
            engine,
            forward: self.forward,
            request: None,
        });
    }

    /// I16, and that a request is settled once.
    pub(super) fn settle(&mut self, number: u32, now: Micros, process: Clocks) -> Option<Asked> {
        let slack = self.plan.timer_delay + MS;
        let Some(asked) = self.asked.get_mut(number as usize) else {
            self.fail("once", now, || format!("request {number} was never made"));
            return None;
        };
        if asked.settled.replace(now).is_some() {
            self.fail("once", now, || {
                format!("request {number} was settled twice")
            });
            return None;
        }
        let waits = !matches!(asked.op, UserOp::Flush | UserOp::Test);
        if self.only_resets && waits && now + MS >= asked.deadline {
            let message = format!(
                "request {number} has waited until its deadline, though connections end at once"
            );
            self.fail("reset", now, || message);
            return None;
        }
        let (due, asked) = (
            (asked.deadline + process.suspended - asked.suspended).max(process.thawed),
            asked.clone(),
        );
        // The time that a process stands still is no part of a budget.
        let due = match asked.op {
            UserOp::Test => due + process.stood,
            _ => due,
        };
        if now > due + slack {
            self.fail("I16", now, || {
                format!(
                    "request {number} was settled {} us after its deadline",
                    now - due
                )
            });
        }
        Some(asked)
    }

    pub fn tested(&mut self, number: u32, code: Option<&str>, now: Micros, process: Clocks) {
        let Some(asked) = self.settle(number, now, process) else {
            return;
        };
        if let Some(code) = code {
            let message = || format!("connection test {number} has failed: {code}");
            self.must_be_redis(&asked, now, message);
        }
    }

    pub fn flushed(&mut self, number: u32, now: Micros, process: Clocks) {
        self.settle(number, now, process);
    }

    pub fn failed(&mut self, number: u32, code: &str, now: Micros, process: Clocks) {
        let Some(asked) = self.settle(number, now, process) else {
            return;
        };
        self.failed += 1;
        self.count(&asked, 2 * Source::ALL.len());
        self.must_be_redis(&asked, now, || {
            format!("request {number} has failed: {code}")
        });
    }

    pub(super) fn count(&mut self, asked: &Asked, at: usize) {
        if matches!(asked.op, UserOp::Check | UserOp::Limit) {
            let name = self.plan.limiters[asked.limiter].name;
            self.counts.entry((asked.process, name)).or_insert([0; _])[at] += 1;
        }
    }

    pub(super) fn must_be_redis(
        &mut self,
        asked: &Asked,
        now: Micros,
        what: impl FnOnce() -> String,
    ) {
        // A deadline that is too short for a new connection.
        let short =
            self.plan.limiters[asked.limiter].deadline * MS < 16 * self.plan.latency.1 + 20 * MS;
        if asked.excused || short {
            return;
        }
        if self.strict && self.leeway[asked.engine] > 0 {
            self.leeway[asked.engine] -= 1;
        } else if self.strict {
            self.fail("I18", now, || {
                format!("{}, long after the last fault", what())
            });
        } else if self.benign {
            self.fail("benign", now, || {
                format!("{}, though nothing was wrong", what())
            });
        }
    }

    /// A request was decided.
    pub fn decided(&mut self, number: u32, answer: &Answer, now: Micros, process: Clocks) {
        let Some(asked) = self.settle(number, now, process) else {
            return;
        };
        let allowed = answer.outcome.decision.is_allowed();
        let source = answer.source as usize;
        self.answers[source] += 1;
        self.count(&asked, source + if allowed { 0 } else { Source::ALL.len() });
        let takes = matches!(asked.op, UserOp::Check | UserOp::Limit);
        match answer.source {
            Source::Redis => self.by_redis(number, &asked, answer, now),
            Source::DenyCache => {
                self.key(asked.key).repeated += 1;
                if allowed || !takes {
                    self.fail("deny-cache", now, || {
                        format!("request {number} was admitted by the deny cache")
                    });
                } else {
                    let denied = self
                        .key(asked.key)
                        .denied
                        .get(&(asked.engine, asked.limit))
                        .copied();
                    // It may have waited in the cache. The moment of the request counts.
                    let holds = |(_, until)| asked.at <= until + process.suspended;
                    if !denied.is_some_and(holds) {
                        self.fail("I6", now, || {
                            format!(
                                "request {number} was denied by the deny cache, after {denied:?}"
                            )
                        });
                    }
                }
            }
            Source::Local => {
                self.by_process(number, &asked, answer, now);
                self.must_be_redis(&asked, now, || {
                    format!("request {number} was decided by the process")
                });
            }
            source => {
                self.must_be_redis(&asked, now, || {
                    format!("request {number} was decided by policy {}", source.name())
                });
            }
        }
    }

    /// I13: the answer is that of one execution of this very request.
    pub(super) fn by_redis(&mut self, number: u32, asked: &Asked, answer: &Answer, now: Micros) {
        self.asked[number as usize].answer = Some(*answer);
        let records = self.keys[asked.key as usize].executed.clone();
        let mut seen = Vec::new();
        if !self.match_request(number as usize, &records, &mut seen) {
            let near: Vec<_> = records
                .iter()
                .rev()
                .take(6)
                .map(|&at| &self.records[at])
                .collect();
            let message = format!(
                "the answer to request {number} is that of no execution: {asked:?} {answer:?}, the last ones: {near:?}"
            );
            return self.fail("I13", now, || message);
        }
        let index = self.asked[number as usize].record.unwrap();
        let executed = self.records[index].at;
        let steady = self.forward == 0;
        let name = self.plan.limiters[asked.limiter].name;
        let of_name = self.plan.limiters.iter().filter(|other| other.name == name);
        let shared = of_name.count() > 1;
        let decision = &answer.outcome.decision;
        let window = self.window(asked.limiter) * MS;
        let excused = now <= self.excused;
        let state = self.key(asked.key);
        if !matches!(asked.op, UserOp::Check | UserOp::Limit) {
            if asked.op == UserOp::Reset {
                state.local.remove(&asked.process);
                if !shared {
                    let later = |at: Micros| at >= executed;
                    let denied = &mut state.denied;
                    denied.retain(|(other, _), (at, _)| *other != asked.engine || later(*at));
                }
            }
            return;
        }
        if decision.is_allowed() {
            return;
        }
        // I22.
        let promise = now + decision.retry_after_ms() * MS;
        let late = now - asked.at;
        let before = state.promised.get(&asked.limit).copied();
        let reset_since = state.resets.last().is_some_and(|&(at, _)| at >= executed);
        if before.is_none_or(|(made, ..)| made < executed) && !reset_since {
            state
                .promised
                .insert(asked.limit, (executed, promise, late + MS));
        }
        if let Some((made, earlier, tolerance)) = before
            && made < executed
            && promise + tolerance < earlier.min(now + window)
            && !excused
            && steady
        {
            self.fail("I22", now, || {
                format!(
                    "request {number} was promised {promise} us, after a promise of {earlier} us"
                )
            });
        }
    }

    /// An anomaly was reported.
    pub fn reported(&mut self, key: KeyId, now: Micros) {
        let state = self.key(key);
        state.reported += 1;
        let (reported, found) = (state.reported, state.found);
        if reported > found {
            self.fail("I19", now, || {
                format!("{reported} anomalies were reported of {found}")
            });
        }
    }

    /// The store is away for a limiter.
    pub fn away(&mut self, engine: usize, limiter: usize, now: Micros) {
        if self.only_freezes {
            let message = || {
                format!(
                    "the breaker of limiter {limiter} of engine {engine} is open, since its process stood still"
                )
            };
            self.fail("F20", now, message);
        }
        self.open.1 += 1;
        let seen = &mut self.seen[engine][limiter];
        seen.changes += 1;
        if seen.away.replace(now).is_some() {
            self.fail("changes", now, || {
                format!("the store was away already for limiter {limiter} of engine {engine}")
            });
        }
    }

    /// A limiter reports no more changes of the store.
    pub fn ends(&mut self, engine: usize, limiter: usize, now: Micros) {
        let seen = std::mem::take(&mut self.seen[engine][limiter]);
        self.open.0 += seen.away.map_or(0, |since| now - since);
    }

    /// A replay has reset the key.
    pub fn was_reset(&mut self, key: KeyId, now: Micros, engine: usize) {
        let state = self.key(key);
        state.resets.push((now, engine));
        state.promised.clear();
    }

    /// Another program has written or deleted the key.
    pub fn was_overwritten(&mut self, key: KeyId, now: Micros) {
        let state = self.key(key);
        state.resets.push((now, usize::MAX));
        state.promised.clear();
        self.excused = self.excused.max(now + 70 * SECOND);
    }

    /// The rules for a whole run.
    pub fn finish(&mut self, now: Micros) {
        if let Some(number) = self
            .asked
            .iter()
            .position(|asked| asked.settled.is_none() && !asked.excused)
        {
            let message = format!(
                "request {number} was never settled: {:?}",
                self.asked[number]
            );
            return self.fail("I16", now, || message);
        }
        for key in 0..self.keys.len() {
            self.executed_once(key, now);
            self.claim(key, now);
            let (found, reported) = (self.keys[key].found, self.keys[key].reported);
            if self.benign && reported < found {
                self.fail("I19", now, || {
                    format!("{reported} anomalies were reported of {found}")
                });
            }
        }
    }
}
