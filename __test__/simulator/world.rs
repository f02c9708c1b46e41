//! A run: virtual time, the processes with their engines, the network and the servers, driven by a queue of events.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::checker::{Checker, Failure};
use super::cluster::View;
use super::faults::Takeover;
use super::network::{Link, NEVER, Socket};
use super::plan::{FaultKind, Plan, SECOND, UserOp};
use super::process::{EngineState, Process};
use super::product::{ConnectionId, Wish};
use super::server::{Conditions, Effects, KeyId, Micros, Node, NodeId, Servers};

/// `Instant`s of all runs count from here: a run is a function of its seed.
pub(super) static START: LazyLock<Instant> =
    LazyLock::new(|| Instant::now() + Duration::from_secs(100_000));

/// A run has far fewer events, unless something goes round in circles.
const MAX_EVENTS: usize = 400_000;

/// The passwords of the servers, in the order in which they are in force.
pub const PASSWORDS: [&str; 2] = ["current", "next"];

#[derive(Debug, Clone, Copy)]
pub enum Event {
    Step(u32),
    /// A user returns with this request again.
    Return(u32),
    Fault(u32),
    /// A later part of a fault.
    FaultPart(u32, u8),
    /// Node and number of the view that it learns.
    Learn(NodeId, u32),
    Timer {
        engine: usize,
        generation: u32,
    },
    LookedUp {
        engine: usize,
        lookup: u32,
    },
    Connect {
        socket: usize,
    },
    Connected {
        socket: usize,
        refused: bool,
    },
    ToServer {
        socket: usize,
    },
    ToEngine {
        socket: usize,
    },
    Resume {
        socket: usize,
    },
    /// The end of a connection reaches the server, or the engine.
    ServerHears {
        socket: usize,
    },
    EngineHears {
        socket: usize,
        reset: bool,
    },
    /// The system takes more bytes on a connection.
    Writable {
        engine: usize,
        connection: ConnectionId,
    },
    /// The login on a connection, of this moment, is over.
    LoginEnds {
        socket: usize,
        since: Micros,
    },
    Probed {
        engine: usize,
        probe: usize,
    },
    Password {
        engine: usize,
        request: u32,
    },
    /// Everybody asks once more, when the faults are over: the round.
    Final(u8),
    End,
}

struct Scheduled {
    at: Micros,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, for the heap.
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// A replay that a server has executed.
#[derive(Debug, Clone, Copy)]
pub struct Replaying {
    pub(super) socket: usize,
    /// The reply has arrived with this many bytes of the connection.
    pub(super) reply_ends: u64,
    pub(super) key: KeyId,
    pub(super) process: usize,
    /// How many, and the age of the newest.
    pub(super) admissions: (u64, u64),
    pub(super) sent: Micros,
}

/// The state of name resolution.
#[derive(Default)]
pub struct Names {
    /// The node behind the name of one Redis.
    pub primary: NodeId,
    pub fails: Micros,
    pub slow: Micros,
}

pub struct World {
    pub plan: Plan,
    pub now: Micros,
    queue: BinaryHeap<Scheduled>,
    pub(super) order: u64,
    pub random: fastrand::Rng,
    pub processes: Vec<Process>,
    pub engines: Vec<EngineState>,
    pub servers: Servers,
    pub views: Vec<Rc<View>>,
    /// The newest view that each node knows.
    pub known_views: Vec<usize>,
    pub sockets: Vec<Socket<ConnectionId>>,
    /// By process and node.
    pub links: Vec<Vec<Link>>,
    pub names: Names,
    /// Nodes that refuse nothing, since their machine is gone.
    pub silent: Vec<bool>,
    /// By fault.
    pub takeovers: Vec<Option<Takeover>>,
    /// The password in force.
    pub password: usize,
    pub checker: Checker,
    pub(super) effects: Effects,
    pub(super) output: Vec<u8>,
    /// Replays whose reply is on its way.
    pub replays: Vec<Replaying>,
    /// No user returns any more.
    pub(super) last_rounds: bool,
    /// MOVED that were answered before the last round.
    pub(super) moved_before: u32,
    pub(super) trace: Option<Trace>,
    pub(super) events: usize,
    /// Attempts to connect, by engine.
    pub(super) connects: Vec<u64>,
}

/// Figures of a run, or of many.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    pub events: usize,
    pub asked: usize,
    pub answers: [u64; 6],
    pub failed: u64,
    pub lost: u64,
    pub changes: u64,
    pub moved: u64,
    pub connects: u64,
}

/// The events of a run, line by line. Shared, so that they outlive a panic.
pub type Trace = Rc<RefCell<Vec<String>>>;

pub fn run(plan: &Plan, trace: Option<Trace>) -> Result<Summary, Failure> {
    World::new(plan, trace).go()
}

pub(super) fn address_of(node: NodeId) -> SocketAddr {
    ([10, 0, 0, node as u8 + 1], 6379).into()
}

impl World {
    fn new(plan: &Plan, trace: Option<Trace>) -> Self {
        let view = Rc::new(View::split(plan.shards, plan.replicas));
        let node = |number: NodeId| Node {
            address: address_of(number),
            shard: number % plan.shards,
            up: true,
            replica: number >= plan.shards,
            clock: 0,
            conditions: Conditions::default(),
            passwords: match plan.passwords {
                super::plan::Login::None => Vec::new(),
                _ => vec![PASSWORDS[0]],
            },
            scripts: [number.is_multiple_of(2); 2],
            forgets_after: None,
            data: Vec::new(),
            values: Default::default(),
            view: Rc::clone(&view),
        };
        let nodes: Vec<_> = (0..plan.nodes()).map(node).collect();
        let links = vec![vec![Link::default(); nodes.len()]; plan.processes.len()];
        let mut servers = Servers::new(plan.clustered, nodes, Rc::clone(&view));
        // Key n × ids + m is that of id m under name n.
        let names = plan
            .limiters
            .iter()
            .map(|limiter| limiter.name)
            .max()
            .unwrap_or(0)
            + 1;
        for name in 0..names {
            for id in 0..plan.ids {
                servers.key(format!("{{n{name}:u{id}}}").as_bytes());
            }
        }
        Self {
            now: 0,
            queue: BinaryHeap::with_capacity(256),
            order: 0,
            random: fastrand::Rng::with_seed(plan.seed ^ 0x5EED),
            processes: Vec::new(),
            engines: Vec::new(),
            servers,
            views: vec![view],
            known_views: vec![0; plan.nodes()],
            sockets: Vec::new(),
            links,
            names: Names::default(),
            silent: vec![false; plan.nodes()],
            takeovers: vec![None; plan.faults.len()],
            password: 0,
            checker: Checker::new(plan),
            effects: Effects {
                trace: trace.is_some().then(Vec::new),
                ..Effects::default()
            },
            output: Vec::new(),
            replays: Vec::new(),
            last_rounds: false,
            moved_before: 0,
            trace,
            events: 0,
            connects: vec![0; plan.engines()],
            plan: plan.clone(),
        }
    }

    fn go(&mut self) -> Result<Summary, Failure> {
        let processes = self.plan.processes.clone();
        for (process, &engines) in processes.iter().enumerate() {
            self.processes.push(Process::new(&self.plan));
            for _ in 0..engines {
                let engine = EngineState::new(self, process);
                self.engines.push(engine);
            }
        }
        for (at, step) in self
            .plan
            .steps
            .iter()
            .enumerate()
            .map(|(at, step)| (at as u32, step.at))
            .collect::<Vec<_>>()
        {
            self.schedule(step, Event::Step(at));
        }
        for (at, time) in self
            .plan
            .faults
            .iter()
            .enumerate()
            .map(|(at, fault)| (at as u32, fault.at))
            .collect::<Vec<_>>()
        {
            self.schedule(time, Event::Fault(at));
        }
        let last = self.plan.steps.last().map_or(0, |step| step.at);
        let quiet = self.plan.quiet_at().max(last) + self.plan.recovery;
        for round in 0..self.rounds() {
            self.schedule(quiet + u64::from(round) * 3 * SECOND, Event::Final(round));
        }
        let end = quiet + u64::from(self.rounds()) * 3 * SECOND;
        self.schedule(end, Event::End);
        while let Some(Scheduled { at, event, .. }) = self.queue.pop() {
            self.now = at;
            self.events += 1;
            if self.events > MAX_EVENTS {
                self.checker
                    .fail("events", at, || "the run does not end".into());
            }
            self.handle(event);
            if let Some(failure) = self.checker.failure.take() {
                self.note(|| format!("FAILED {}: {}", failure.rule, failure.message));
                return Err(failure);
            }
            if matches!(event, Event::End) {
                break;
            }
        }
        self.finish();
        match self.checker.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(Summary {
                events: self.events,
                asked: self.checker.asked.len(),
                answers: self.checker.answers,
                failed: self.checker.failed,
                lost: self.checker.losses.len() as u64,
                changes: self.processes.iter().map(|process| process.changes).sum(),
                moved: u64::from(self.effects.moved),
                connects: self.connects.iter().sum(),
            }),
        }
    }

    /// Rounds in which all engines ask once more.
    fn rounds(&self) -> u8 {
        2 * self.plan.connections + 1
    }

    fn finish(&mut self) {
        let now = self.now;
        self.checker.finish(now);
        if self.checker.strict && self.effects.moved > self.moved_before {
            let moved = self.effects.moved - self.moved_before;
            self.checker.fail("map", now, || {
                format!("{moved} requests were redirected long after the last slot has moved")
            });
        }
        self.compare_metrics();
        // Two for each round, and a round a second at the most; besides those of a limiter that finds pending replays.
        let seen = self.checker.seen.iter().flatten();
        let still_open: Micros = seen
            .filter_map(|seen| seen.away)
            .map(|since| now - since)
            .sum();
        let (open, openings) = self.checker.open;
        let limiters = (self.engines.len() * self.plan.limiters.len()) as u64;
        let rounds = (open + still_open) / SECOND + 3 * openings + 4 * limiters;
        // A shard that is held until a replay is not reported as away.
        let held = self
            .plan
            .faults
            .iter()
            .any(|fault| matches!(fault.kind, FaultKind::Disagree { .. }));
        let rounds = rounds + if held { limiters * now / SECOND } else { 0 };
        let bound = 3 * rounds * self.plan.shards as u64;
        if self.effects.probes > bound {
            let probes = self.effects.probes;
            let message = || format!("{probes} probes, {bound} at the most");
            self.checker.fail("I18", now, message);
        }
        // The backoff lets an engine try ten times a second at first, and once a second on average after some failures.
        // A connection whose login cannot be renewed is replaced within its last 48th, and that is tried again after a 288th to a
        // 144th of its life, after less at first.
        let replacements = self.plan.login_life.map_or(0, |life| 10 + 288 * now / life);
        let bound = (60 + 4 * now / SECOND + replacements)
            * self.plan.nodes() as u64
            * u64::from(self.plan.connections);
        if let Some(&connects) = self.connects.iter().find(|&&connects| connects > bound) {
            self.checker.fail("F21", now, || {
                format!("{connects} attempts to connect in {} s", now / SECOND)
            });
        }
    }

    pub fn schedule(&mut self, at: Micros, event: Event) {
        if at == NEVER {
            return;
        }
        self.order += 1;
        let at = at.max(self.now);
        self.queue.push(Scheduled {
            at,
            order: self.order,
            event,
        });
    }

    /// Adds a line to the trace, if there is one.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let ms = self.now as f64 / 1000.0;
            trace
                .borrow_mut()
                .push(format!("{ms:>12.3} ms  {}", line()));
        }
    }

    fn handle(&mut self, event: Event) {
        // A process that is frozen sees nothing until it goes on.
        if let Some(process) = self.process_of(event)
            && self.now < self.processes[process].frozen_until
        {
            self.processes[process].deferred.push(event);
            return;
        }
        match event {
            Event::Step(at) => self.step(at as usize),
            Event::Return(number) => self.ask_again(number),
            Event::Fault(at) => self.fault(at as usize),
            Event::FaultPart(at, part) => self.fault_part(at as usize, part),
            Event::Learn(node, view) => self.learn(node, view as usize),
            Event::Timer { engine, generation } => self.timer(engine, generation),
            Event::LookedUp { engine, lookup } => self.looked_up(engine, lookup as usize),
            Event::Connect { socket } => self.connect(socket),
            Event::Connected { socket, refused } => self.connected(socket, refused),
            Event::ToServer { socket } => self.deliver_to_server(socket),
            Event::ToEngine { socket } => self.deliver_to_engine(socket),
            Event::Resume { socket } => self.serve(socket),
            Event::ServerHears { socket } => self.sockets[socket].client = None,
            Event::EngineHears { socket, reset } => self.engine_hears(socket, reset),
            Event::Writable { engine, connection } => {
                self.wish(engine, Wish::Send { connection });
            }
            Event::LoginEnds { socket, since } => {
                let client = self.sockets[socket].client.as_ref();
                if client.is_some_and(|client| client.logged_in == since) {
                    self.note(|| format!("the login on {socket} is over"));
                    self.drop_connection(socket, false);
                }
            }
            Event::Probed { engine, probe } => {
                let (connection, answer) = self.engines[engine].probes[probe];
                self.with_engine(engine, |product, now| {
                    product.probed(connection, answer, now)
                });
            }
            Event::Password { engine, request } => self.give_password(engine, request as usize),
            Event::Final(round) => self.last_round(round),
            Event::End => {}
        }
    }

    /// The process that an event is for.
    fn process_of(&self, event: Event) -> Option<usize> {
        let engine = match event {
            Event::Step(at) => self.plan.steps[at as usize].engine,
            Event::Return(number) => self.checker.asked[number as usize].engine,
            Event::Timer { engine, .. }
            | Event::LookedUp { engine, .. }
            | Event::Probed { engine, .. }
            | Event::Writable { engine, .. }
            | Event::Password { engine, .. } => engine,
            Event::Connected { socket, .. }
            | Event::ToEngine { socket }
            | Event::EngineHears { socket, .. } => self.sockets[socket].engine,
            _ => return None,
        };
        Some(self.engines[engine].process)
    }

    pub fn thaw(&mut self, process: usize) {
        if self.now < self.processes[process].frozen_until {
            return;
        }
        self.note(|| format!("process {process} goes on"));
        let deferred = std::mem::take(&mut self.processes[process].deferred);
        let timers_first = self.random.bool();
        let is_timer = |event: &Event| matches!(event, Event::Timer { .. });
        for first in [true, false] {
            for event in &deferred {
                if (is_timer(event) == timers_first) == first {
                    self.handle(*event);
                }
            }
        }
    }

    pub fn learn(&mut self, node: NodeId, view: usize) {
        // It knows a newer one.
        if view < self.known_views[node] {
            return;
        }
        self.known_views[node] = view;
        let view = Rc::clone(&self.views[view]);
        let server = &mut self.servers.nodes[node];
        let primary = view.primaries[server.shard] == node;
        server.replica = !primary;
        server.view = view;
        self.note(|| format!("node {node} learns who serves what; a primary: {primary}"));
    }

    /// Every engine asks for every id once more.
    fn last_round(&mut self, round: u8) {
        self.note(|| format!("round {round} after the faults"));
        self.last_rounds = true;
        // Each connection has to find out by itself where it leads by now.
        self.checker.strict = round + 1 >= 2 * self.plan.connections;
        if round + 1 == self.rounds() {
            self.moved_before = self.effects.moved;
        }
        for engine in 0..self.engines.len() {
            for limiter in 0..self.plan.limiters.len() {
                for id in 0..self.plan.ids.min(2) {
                    self.ask(engine, limiter, id, UserOp::Limit, 3, 0);
                }
            }
        }
    }
}

pub fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.len() > 400 {
        true => format!("{} … ({} bytes)", &text[..400], bytes.len()),
        false => text,
    }
}
