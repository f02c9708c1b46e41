//! Limiters over a modelled store, in virtual time: nothing here sleeps, and each run is the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use huntaze_rate_limit::limiter::{
    Action, Answer, BatchId, Completion, Context, Fallback, Local, OnStoreError, Output, Remote,
    RequestId, StoreChange, Times,
};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{ManualClock, Millis, Outcome, Rules, StoreClock};
use huntaze_rate_limit::store::redis::cluster::ShardMap;
use huntaze_rate_limit::store::{MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError};

use crate::random_history::EPOCH;
use crate::requests::{plain_rules, request, scope};

/// Longer than anything here takes.
pub const PATIENT: Duration = Duration::from_secs(3600 * 24);

/// How a store answers a batch.
pub enum Reply {
    /// It decides all requests after this time.
    After(Duration),
    /// It decides some requests after some time each; without indices it only redirects. It does not answer the others.
    Parts(Vec<(Duration, Vec<usize>)>),
    /// It ends the call after this time, without the answers that are missing.
    Ends(Duration),
    /// Not at all, until [`Simulation::ask_again`].
    Never,
}

/// How a store answers a replay.
pub enum ReplayReply {
    /// At once, with a result each.
    All(Vec<Result<(), StoreError>>),
    /// At once for the replays at these indices, which it takes. It does not answer the others.
    Some(Vec<usize>),
    /// Not at all, until [`Simulation::ask_again`].
    Never,
}

/// A modelled store.
pub trait FakeStore {
    /// A batch has arrived.
    fn on_batch(&mut self, requests: &[Request], shard: usize) -> Reply {
        let _ = (requests, shard);
        Reply::After(Duration::ZERO)
    }

    /// Decides requests, in order.
    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>>;

    /// A probe has arrived. `None`: it is not answered.
    fn on_probe(&mut self, shard: usize) -> Option<Result<(), StoreError>> {
        let _ = shard;
        Some(Ok(()))
    }

    /// Whether there is a connection to send a replay over.
    fn can_send(&mut self) -> bool {
        true
    }

    /// A replay has arrived.
    fn on_replay(&mut self, replays: &[Replay], shard: usize) -> ReplayReply {
        let _ = shard;
        ReplayReply::All(vec![Ok(()); replays.len()])
    }
}

/// A completed request: its request id, and the result.
pub type Settled = (u32, Result<Answer, StoreError>);

/// What a limiter is made of.
#[derive(Clone)]
pub struct Setup {
    pub policy: OnStoreError,
    pub rules: Rules,
    pub times: Times,
    pub map: ShardMap,
    /// `None`: logs of its own.
    pub local: Option<Local>,
}

impl Setup {
    /// A limiter with a window of an hour, over one shard.
    pub fn new(policy: OnStoreError, deadline: Duration) -> Self {
        Self {
            policy,
            rules: hour(),
            times: deadline.into(),
            map: ShardMap::one(None),
            local: None,
        }
    }

    pub fn over<S: FakeStore>(self, store: S) -> Simulation<S> {
        self.over_clock(|_| store)
    }

    /// Over a store with the clock of the simulation.
    pub fn over_clock<S: FakeStore>(
        self,
        store: impl FnOnce(Arc<ManualClock>) -> S,
    ) -> Simulation<S> {
        let clock = Arc::new(ManualClock::at(EPOCH));
        let begun = Instant::now();
        let mut simulation = Simulation {
            store: store(Arc::clone(&clock)),
            map: self.map.clone(),
            limiters: Vec::new(),
            begun,
            now: begun,
            clock,
            random: Rng::with_seed(7),
            events: BTreeMap::new(),
            sequence: 0,
            unanswered: Vec::new(),
            abandoned: 0,
        };
        simulation.add(&self);
        simulation
    }
}

pub fn hour() -> Rules {
    plain_rules(3_600_000)
}

pub fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(hour().window))
}

/// Limiters over one store.
pub struct Simulation<S> {
    pub store: S,
    pub map: ShardMap,
    pub limiters: Vec<Simulated>,
    begun: Instant,
    now: Instant,
    clock: Arc<ManualClock>,
    random: Rng,
    /// What is on its way, by the moment of its arrival.
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// Calls that the store has not answered.
    unanswered: Vec<(usize, Action)>,
    /// The number of calls that limiters have abandoned.
    pub abandoned: usize,
}

/// A limiter and what it has completed.
pub struct Simulated {
    pub remote: Remote,
    pub metrics: Arc<Metrics>,
    pub local: Local,
    pub answers: VecDeque<Settled>,
    pub flushed: Vec<u32>,
    /// Request id and number of requests.
    pub anomalies: Vec<(u32, u32)>,
    pub changes: Vec<StoreChange>,
    /// The number of requests that have not been answered.
    pub open: usize,
}

struct Event {
    limiter: usize,
    batch: BatchId,
    kind: EventKind,
}

enum EventKind {
    Decide(Arc<[Request]>, Vec<usize>),
    Replayed(Vec<usize>, Vec<Result<(), StoreError>>),
    Probed(Result<(), StoreError>),
    Ended,
}

impl<S: FakeStore> Simulation<S> {
    /// Adds a limiter, and returns its index.
    pub fn add(&mut self, setup: &Setup) -> usize {
        let clock = StoreClock::manual(Arc::clone(&self.clock));
        let logs = || Arc::new(MemoryStore::with_clock(clock, MAX_MEMORY_IDS));
        let local = setup.local.clone().unwrap_or_else(|| Local {
            logs: logs(),
            ..Local::default()
        });
        let metrics = metrics();
        let fallback = Fallback::new(setup.policy, setup.rules, local.clone());
        let mut out = Output::default();
        let mut cx = Context {
            map: &self.map,
            now: self.now,
            random: &mut self.random,
            out: &mut out,
        };
        let scope = scope("t", setup.rules);
        let remote = Remote::new(scope, setup.times, fallback, Arc::clone(&metrics), &mut cx);
        self.limiters.push(Simulated {
            remote,
            metrics,
            local,
            answers: VecDeque::new(),
            flushed: Vec::new(),
            anomalies: Vec::new(),
            changes: Vec::new(),
            open: 0,
        });
        let at = self.limiters.len() - 1;
        self.take(at, out);
        at
    }

    /// Since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now - self.begun
    }

    pub fn metrics(&self) -> &Metrics {
        &self.limiters[0].metrics
    }

    /// Calls a limiter at the present moment, and does what it wants.
    pub fn call<R>(
        &mut self,
        at: usize,
        call: impl FnOnce(&mut Remote, &mut Context<'_>) -> R,
    ) -> R {
        let mut out = Output::default();
        let mut cx = Context {
            map: &self.map,
            now: self.now,
            random: &mut self.random,
            out: &mut out,
        };
        let result = call(&mut self.limiters[at].remote, &mut cx);
        self.take(at, out);
        result
    }

    pub fn submit(&mut self, request: Request, slot: u32) -> Option<(Request, Answer)> {
        self.submit_to(0, request, slot)
    }

    pub fn submit_to(
        &mut self,
        at: usize,
        request: Request,
        slot: u32,
    ) -> Option<(Request, Answer)> {
        let request_id = RequestId { slot, label: 0 };
        // Counted first: it may fail in the call.
        self.limiters[at].open += 1;
        let answer = self.call(at, |remote, cx| remote.submit(request, request_id, cx));
        self.limiters[at].open -= usize::from(answer.is_some());
        answer
    }

    pub fn flush(&mut self, slot: u32) -> bool {
        let request_id = RequestId { slot, label: 0 };
        self.call(0, |remote, cx| remote.flush(request_id, cx))
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, op: Op, who: &str, limit: u32) -> Result<Answer, StoreError> {
        match self.submit(request(op, who, limit), 0) {
            Some((_, answer)) => Ok(answer),
            None => self.recv().1,
        }
    }

    /// The next answer of the first limiter.
    pub fn recv(&mut self) -> Settled {
        let until = self.now + PATIENT;
        while self.limiters[0].answers.is_empty() {
            assert!(self.step(until), "a request is never answered");
        }
        self.limiters[0].answers.pop_front().unwrap()
    }

    pub fn try_recv(&mut self) -> Option<Settled> {
        self.limiters[0].answers.pop_front()
    }

    /// Waits until `flush` has ended.
    pub fn until_flushed(&mut self, flush: u32) {
        let until = self.now + PATIENT;
        while !self.limiters[0].flushed.contains(&flush) {
            assert!(self.step(until), "the flush never ends");
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
    }

    /// Runs until nothing is left to do.
    pub fn run_to_end(&mut self) {
        self.run(PATIENT);
    }

    /// Lets time pass in which the process is stopped, or its thread blocked.
    pub fn stop(&mut self, span: Duration) {
        self.set_now(self.now + span);
    }

    /// The first limiter is told that there is a new connection.
    pub fn connect(&mut self, shard: usize) {
        self.call(0, |remote, cx| remote.on_connected(shard, cx));
    }

    /// The store gets another shard map, and the limiters are told.
    pub fn set_map(&mut self, map: ShardMap) {
        self.map = map;
        for at in 0..self.limiters.len() {
            self.call(at, |remote, cx| remote.on_map_changed(cx));
        }
    }

    pub fn close(&mut self) {
        self.call(0, |remote, cx| remote.close(cx));
    }

    pub fn abort(&mut self) {
        self.call(0, |remote, cx| remote.abort(cx));
    }

    /// The calls that were not answered arrive at the store once more.
    pub fn ask_again(&mut self) {
        for (at, action) in std::mem::take(&mut self.unanswered) {
            self.act(at, action);
        }
    }

    /// Does what is due first, no later than at `until`. Returns whether anything was.
    fn step(&mut self, until: Instant) -> bool {
        let event = self.events.keys().next().copied();
        let timers = self.limiters.iter().enumerate();
        // The engine drops a limiter that is closed.
        let timers = timers.filter(|(_, limiter)| !limiter.remote.is_closed());
        let timers = timers.filter_map(|(at, limiter)| Some((limiter.remote.next_timer()?, at)));
        let timer = timers.min();
        // As a driver does: what has arrived is read before deadlines are looked at.
        if let Some(key) = event.filter(|&(at, _)| at <= until)
            && timer.is_none_or(|(due, _)| key.0 <= due.max(self.now))
        {
            self.set_now(self.now.max(key.0));
            let event = self.events.remove(&key).unwrap();
            self.deliver(event);
            return true;
        }
        if let Some((due, at)) = timer.filter(|&(due, _)| due <= until) {
            self.set_now(self.now.max(due));
            self.call(at, Remote::advance);
            let next = self.limiters[at].remote.next_timer();
            assert!(next.is_none_or(|next| next > self.now), "a timer is stuck");
            return true;
        }
        self.set_now(self.now.max(until));
        false
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        let since = (now - self.begun).as_millis() as Millis;
        self.clock.set(EPOCH + since);
    }

    fn deliver(&mut self, event: Event) {
        let Event {
            limiter,
            batch,
            kind,
        } = event;
        if self.limiters[limiter].remote.is_closed() {
            return;
        }
        match kind {
            EventKind::Decide(requests, indices) => {
                let asked: Vec<_> = indices.iter().map(|&at| requests[at].clone()).collect();
                let results = self.store.decide(&asked);
                self.call(limiter, |remote, cx| {
                    remote.on_results(batch, &indices, results, cx);
                });
            }
            EventKind::Replayed(indices, results) => {
                self.call(limiter, |remote, cx| {
                    remote.on_replayed(batch, &indices, results, cx);
                });
            }
            EventKind::Probed(result) => {
                self.call(limiter, |remote, cx| remote.on_probed(batch, result, cx));
            }
            EventKind::Ended => self.call(limiter, |remote, cx| remote.on_finished(batch, cx)),
        }
    }

    fn take(&mut self, at: usize, out: Output) {
        let limiter = &mut self.limiters[at];
        for completion in out.completions {
            let settled = match completion {
                Completion::Decided { request_id, answer } => (request_id.slot, Ok(answer)),
                Completion::Failed { request_id, error } => (request_id.slot, Err(error)),
                Completion::Anomaly {
                    request_id,
                    requests,
                    ..
                } => {
                    limiter.anomalies.push((request_id.slot, requests));
                    continue;
                }
                Completion::Flushed { request_id } => {
                    limiter.flushed.push(request_id.slot);
                    continue;
                }
                Completion::StoreChanged(change) => {
                    limiter.changes.push(change);
                    continue;
                }
            };
            limiter.open = limiter.open.checked_sub(1).expect("one answer a request");
            limiter.answers.push_back(settled);
        }
        for action in out.actions {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        match &action {
            Action::Send {
                batch,
                requests,
                shard,
            } => {
                let all = || (0..requests.len()).collect();
                let decide = |indices| EventKind::Decide(Arc::clone(requests), indices);
                match self.store.on_batch(requests, *shard) {
                    Reply::After(delay) => self.schedule(at, *batch, delay, decide(all())),
                    Reply::Parts(parts) => {
                        for (delay, indices) in parts {
                            self.schedule(at, *batch, delay, decide(indices));
                        }
                    }
                    Reply::Ends(delay) => self.schedule(at, *batch, delay, EventKind::Ended),
                    Reply::Never => self.unanswered.push((at, action)),
                }
            }
            Action::Probe { batch, shard } => match self.store.on_probe(*shard) {
                Some(result) => {
                    self.schedule(at, *batch, Duration::ZERO, EventKind::Probed(result));
                }
                None => self.unanswered.push((at, action)),
            },
            Action::Replay {
                batch,
                replays,
                shard,
            } => {
                let all: Vec<_> = (0..replays.len()).collect();
                if self.store.can_send() {
                    self.call(at, |remote, _| remote.on_sent(*batch, &all));
                }
                let (indices, results) = match self.store.on_replay(replays, *shard) {
                    ReplayReply::All(results) => (all, results),
                    ReplayReply::Some(indices) => {
                        let results = vec![Ok(()); indices.len()];
                        (indices, results)
                    }
                    ReplayReply::Never => return self.unanswered.push((at, action)),
                };
                let kind = EventKind::Replayed(indices, results);
                self.schedule(at, *batch, Duration::ZERO, kind);
            }
            Action::Abandon { batch } => {
                self.abandoned += 1;
                self.events
                    .retain(|_, event| (event.limiter, event.batch) != (at, *batch));
                self.unanswered.retain(|(limiter, action)| match action {
                    Action::Send { batch: other, .. }
                    | Action::Probe { batch: other, .. }
                    | Action::Replay { batch: other, .. } => (*limiter, other) != (at, batch),
                    Action::Abandon { .. } => unreachable!("nothing answers it"),
                });
            }
        }
    }

    fn schedule(&mut self, limiter: usize, batch: BatchId, delay: Duration, kind: EventKind) {
        self.sequence += 1;
        let event = Event {
            limiter,
            batch,
            kind,
        };
        self.events.insert((self.now + delay, self.sequence), event);
    }
}
