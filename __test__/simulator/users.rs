//! The users: their requests to the engines, and the answers.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::StoreChange;
use huntaze_rate_limit::metrics::Label;
use huntaze_rate_limit::quota::{Id, Limit};
use huntaze_rate_limit::store::{Answer, Op, Request, StoreError};

use super::checker::Asked;
use super::plan::{LimiterPlan, MS, UserOp};
use super::product::{Completion, Engine, RequestId, TestId};
use super::server::{KeyId, Micros};
use super::world::{Event, World};

/// The budget of a connection test.
const TEST_BUDGET: Duration = Duration::from_secs(1);

/// Hands request `number` to its engine.
pub fn submit(world: &mut World, number: u32) {
    let asked = world.checker.asked[number as usize].clone();
    let Some(limiter) = world.engines[asked.engine].limiter(asked.limiter) else {
        return;
    };
    let request_id = RequestId {
        slot: number,
        label: Label::default(),
    };
    if asked.op == UserOp::Flush {
        let waits = world.with_engine(asked.engine, |engine, now| {
            engine.flush(limiter, request_id, now)
        });
        if waits == Some(false) {
            flushed(world, number);
        }
        return;
    }
    if asked.op == UserOp::Test {
        let plan = world.plan.limiters[asked.limiter].clone();
        let local = world.processes[asked.process].local[&plan.name].clone();
        let scope = Arc::new(super::process::parts(&plan, local).0);
        let engine = asked.engine;
        let begin = |product: &mut Engine, now| product.test_connection(scope, TEST_BUDGET, now);
        world.begin_test(engine, number, begin);
        return;
    }
    let op = match asked.op {
        UserOp::Limit => Op::Limit,
        UserOp::Status => Op::Status,
        UserOp::Reset => Op::Reset,
        _ => Op::Check,
    };
    let id = asked.key as usize % world.plan.ids;
    let request = Request {
        op,
        id: Id::new(format!("u{id}")).unwrap(),
        limit: Limit::new(asked.limit).unwrap(),
    };
    let answer = world.with_engine(asked.engine, |engine, now| {
        engine.submit(limiter, request, request_id, now)
    });
    if let Some((_, answer)) = answer.flatten() {
        world.note(|| format!("request {number} is answered in the call: {answer:?}"));
        decided(world, number, &answer);
        if answer.outcome.anomaly_status.anomaly().is_some() {
            world.checker.reported(asked.key, world.now);
        }
    }
}

/// Takes a completion of a limiter.
pub fn complete(world: &mut World, engine: usize, limiter: usize, completion: Completion) {
    let (now, process) = (world.now, world.engines[engine].process);
    match completion {
        Completion::Decided { request_id, answer } => decided(world, request_id.slot, &answer),
        Completion::Failed { request_id, error } => {
            let clocks = world.processes[process].clocks();
            world
                .checker
                .failed(request_id.slot, error.code(), now, clocks);
        }
        Completion::Anomaly { request_id, .. } => {
            if let Some(asked) = world.checker.asked.get(request_id.slot as usize) {
                let key = asked.key;
                world.checker.reported(key, now);
            }
        }
        Completion::Flushed { request_id } => flushed(world, request_id.slot),
        Completion::StoreChanged(change) => {
            world.processes[process].changes += 1;
            match change {
                StoreChange::Away { .. } => world.checker.away(engine, limiter, now),
                StoreChange::Back { .. } => {
                    let since = world.checker.seen[engine][limiter].away.unwrap_or(0);
                    let disturbed = world.processes[process].disturbed >= since
                        && world.processes[process].disturbed > 0;
                    world.checker.back(engine, process, limiter, now, disturbed);
                }
            }
        }
    }
}

/// A connection test has ended.
pub fn tested(world: &mut World, engine: usize, test: TestId, error: Option<StoreError>) {
    let tests = &world.engines[engine].tests;
    let number = tests.iter().find(|(known, _)| *known == test);
    let Some(&(_, number)) = number else {
        return world.checker.fail("once", world.now, || {
            "a connection test that was never begun".into()
        });
    };
    world.note(|| format!("connection test {number} has ended: {error:?}"));
    let clocks = world.processes[world.engines[engine].process].clocks();
    world
        .checker
        .tested(number, error.map(|error| error.code()), world.now, clocks);
}

fn flushed(world: &mut World, number: u32) {
    let engine = world.checker.asked[number as usize].engine;
    let clocks = world.processes[world.engines[engine].process].clocks();
    world.checker.flushed(number, world.now, clocks);
}

fn decided(world: &mut World, number: u32, answer: &Answer) {
    let Some(asked) = world.checker.asked.get(number as usize).cloned() else {
        return world.checker.fail("once", world.now, || {
            format!("request {number} was never made")
        });
    };
    let clocks = world.processes[asked.process].clocks();
    world.checker.decided(number, answer, world.now, clocks);
    let decision = &answer.outcome.decision;
    if asked.retries > 0 && !decision.is_allowed() {
        let about = [0, MS, 2 * MS, world.random.u64(..2 * MS)][world.random.usize(..4)];
        let at = (world.now + decision.retry_after_ms() * MS + about).saturating_sub(MS);
        world.schedule(at, Event::Return(number));
    }
}

/// Closes a limiter.
pub fn close(world: &mut World, engine: usize, limiter: usize) {
    world.note(|| format!("limiter {limiter} of engine {engine} is closed"));
    if let Some(id) = world.engines[engine].close(limiter) {
        world.checker.ends(engine, limiter, world.now);
        world.with_engine(engine, |product, now| product.close(id, now));
    }
}

/// The thread of an engine ends.
pub fn end(world: &mut World, engine: usize) {
    world.note(|| format!("the thread of engine {engine} ends"));
    world.with_engine(engine, |product, now| product.abort(now));
    world.engines[engine].product = None;
    for limiter in 0..world.plan.limiters.len() {
        world.checker.ends(engine, limiter, world.now);
    }
    for asked in &mut world.checker.asked {
        asked.excused |= asked.engine == engine && asked.settled.is_none();
    }
    let sockets: Vec<_> = world.engines[engine]
        .sockets
        .iter()
        .map(|&(_, socket)| socket)
        .collect();
    for socket in sockets {
        world.abandon(socket);
    }
}

impl World {
    /// Submits a request of a user.
    pub fn ask(
        &mut self,
        engine: usize,
        limiter: usize,
        id: usize,
        op: UserOp,
        limit: u32,
        retries: u8,
    ) {
        let LimiterPlan { name, deadline, .. } = self.plan.limiters[limiter];
        let key = (name * self.plan.ids + id) as KeyId;
        let process = self.engines[engine].process;
        if self.engines[engine].is_closed(limiter) {
            return;
        }
        let number = self.checker.asks(Asked {
            at: self.now,
            deadline: match op {
                UserOp::Test => self.now + TEST_BUDGET.as_micros() as Micros,
                _ => self.now + deadline * MS,
            },
            suspended: self.processes[process].suspended,
            open: !self.plan.clustered
                && self.checker.seen[engine][limiter]
                    .away
                    .is_some_and(|since| since < self.now),
            ..Asked::new(engine, process, limiter, key, op, limit, retries)
        });
        self.note(|| format!("request {number} to engine {engine}, limiter {limiter}: {op:?} of id {id} under {limit}"));
        super::users::submit(self, number);
    }

    pub(super) fn step(&mut self, at: usize) {
        let step = self.plan.steps[at];
        match step.op {
            UserOp::Close => super::users::close(self, step.engine, step.limiter),
            UserOp::End => super::users::end(self, step.engine),
            op => {
                for n in 0..=step.burst as usize {
                    let id = step.id + if step.spread { n } else { 0 };
                    self.ask(
                        step.engine,
                        step.limiter,
                        id % self.plan.ids,
                        op,
                        step.limit,
                        step.retries,
                    );
                }
            }
        }
    }

    pub(super) fn ask_again(&mut self, number: u32) {
        if self.last_rounds {
            return;
        }
        let asked = self.checker.asked[number as usize].clone();
        let id = asked.key as usize % self.plan.ids;
        self.ask(
            asked.engine,
            asked.limiter,
            id,
            asked.op,
            asked.limit,
            asked.retries - 1,
        );
    }

    /// I17: the metrics of each process and name agree with the answers of its users.
    pub fn compare_metrics(&mut self) {
        for process in 0..self.processes.len() {
            let of_process = |asked: &&Asked| asked.process == process;
            if self
                .checker
                .asked
                .iter()
                .filter(of_process)
                .any(|asked| asked.excused)
            {
                continue;
            }
            for (name, metrics) in self.processes[process].metrics.clone() {
                let snapshot = metrics.snapshot();
                let told = self
                    .checker
                    .counts
                    .get(&(process, name))
                    .copied()
                    .unwrap_or_default();
                let mut counted = snapshot.allowed.to_vec();
                counted.extend(snapshot.denied);
                counted.push(snapshot.failed);
                if told != counted[..] {
                    self.checker.fail("I17", self.now, || {
                        format!("of name {name} in process {process}, metrics count {counted:?}, and the users were told {told:?}")
                    });
                }
                if snapshot.in_flight != 0 {
                    self.checker.fail("I17", self.now, || {
                        format!("{} requests are still in flight", snapshot.in_flight)
                    });
                }
            }
        }
    }
}
