//! The processes, each with one engine or several that share the logs and the journal of `local`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::limiter::{Fallback, Journal, Local, Times};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::quota::{AnomalyRule, ManualClock, Namespace, Rules, StoreClock, Window};
use huntaze_rate_limit::store::redis::{ConnectionStats, Credentials, RedisConfig, Secret};
use huntaze_rate_limit::store::{MemoryStore, Scope};

use super::checker::Clocks;
use super::plan::{LimiterPlan, Login, Plan};
use super::product::{ConnectionId, Engine, LimiterId, PasswordRequestId, ServerId, TestId};
use super::server::{EPOCH, Micros};
use super::world::{Event, PASSWORDS, World};

/// Ids that the logs of a process hold: more than a run has.
const CAPACITY: usize = 1000;

pub struct Process {
    /// Of its own logs: its steady clock.
    pub clock: Arc<ManualClock>,
    /// By name.
    pub local: BTreeMap<usize, Local>,
    pub metrics: BTreeMap<usize, Arc<Metrics>>,
    pub frozen_until: Micros,
    /// When it went on for the last time.
    pub thawed: Micros,
    /// Events that wait until it goes on.
    pub deferred: Vec<Event>,
    /// How long it has stood still, and how long its steady clock has.
    pub stood: Micros,
    pub suspended: Micros,
    /// How far the machine's clock is ahead, in us.
    pub wall: i64,
    /// When a server last refused one of its replays.
    pub disturbed: Micros,
    /// Changes of the store's state that it has reported.
    pub changes: u64,
}

impl Process {
    pub fn new(plan: &Plan) -> Self {
        let clock = Arc::new(ManualClock::at(EPOCH));
        let (mut local, mut metrics) = (BTreeMap::new(), BTreeMap::new());
        for limiter in &plan.limiters {
            let logs = MemoryStore::with_clock(StoreClock::manual(Arc::clone(&clock)), CAPACITY);
            local.entry(limiter.name).or_insert_with(|| Local {
                logs: Arc::new(logs),
                journal: Arc::new(Journal::default()),
            });
            let of_name = metrics.entry(limiter.name);
            of_name.or_insert_with(|| Arc::new(Metrics::new(Window::new(limiter.window).unwrap())));
        }
        Self {
            clock,
            local,
            metrics,
            frozen_until: 0,
            thawed: 0,
            deferred: Vec::new(),
            stood: 0,
            suspended: 0,
            wall: 0,
            disturbed: 0,
            changes: 0,
        }
    }
}

impl Process {
    pub fn clocks(&self) -> Clocks {
        Clocks {
            thawed: self.thawed,
            suspended: self.suspended,
            stood: self.stood,
        }
    }
}

pub struct EngineState {
    pub process: usize,
    /// `None`: its thread has ended.
    pub product: Option<Engine>,
    /// By the limiter's number in the plan.
    limiters: Vec<Option<LimiterId>>,
    ids: Vec<LimiterId>,
    /// When its timer is due, and the number of times it was set.
    pub timer: Option<Micros>,
    pub generation: u32,
    pub sockets: Vec<(ConnectionId, usize)>,
    pub lookups: Vec<(ServerId, String, u16)>,
    pub passwords: Vec<PasswordRequestId>,
    /// Connection tests in progress, and their requests.
    pub tests: Vec<(TestId, u32)>,
    pub probes: Vec<(ConnectionId, Option<[u8; 2]>)>,
}

impl EngineState {
    pub fn new(world: &mut World, process: usize) -> Self {
        let config = config(&world.plan);
        let stats = Arc::new(ConnectionStats::default());
        let chance = fastrand::Rng::with_seed(world.random.u64(..));
        let now = world.moment_of_process(process);
        let mut product = Engine::new(config, stats, chance, now);
        let of_process = &world.processes[process];
        let open = |limiter: &LimiterPlan| {
            let metrics = Arc::clone(&of_process.metrics[&limiter.name]);
            let (scope, times, fallback) = parts(limiter, of_process.local[&limiter.name].clone());
            product.open(scope, times, fallback, metrics, now)
        };
        let ids: Vec<_> = world.plan.limiters.iter().map(open).collect();
        Self {
            process,
            product: Some(product),
            limiters: ids.iter().copied().map(Some).collect(),
            ids,
            timer: None,
            generation: 0,
            sockets: Vec::new(),
            lookups: Vec::new(),
            passwords: Vec::new(),
            tests: Vec::new(),
            probes: Vec::new(),
        }
    }

    /// The limiter's number in the plan.
    pub fn limiter_of(&self, id: LimiterId) -> usize {
        self.ids.iter().position(|&known| known == id).unwrap()
    }

    /// The limiter to submit to, unless it is closed.
    pub fn limiter(&self, number: usize) -> Option<LimiterId> {
        self.limiters[number].filter(|_| self.product.is_some())
    }

    pub fn is_closed(&self, number: usize) -> bool {
        self.limiter(number).is_none()
    }

    pub fn close(&mut self, number: usize) -> Option<LimiterId> {
        self.limiters[number].take()
    }

    pub fn socket(&self, connection: ConnectionId) -> Option<usize> {
        let mut sockets = self.sockets.iter().rev();
        sockets
            .find(|(known, _)| *known == connection)
            .map(|&(_, socket)| socket)
    }
}

fn config(plan: &Plan) -> RedisConfig {
    RedisConfig {
        host: "redis.test".into(),
        port: 6379,
        username: None,
        credentials: match plan.passwords {
            Login::None => Credentials::Passwords(Vec::new()),
            Login::Passwords => Credentials::Passwords(
                PASSWORDS
                    .iter()
                    .rev()
                    .map(|&text| Secret::new(text))
                    .collect(),
            ),
            Login::Source => Credentials::Source(Arc::new(super::product::Source)),
        },
        database: 0,
        tls: None,
        // Found out by itself half of the time.
        cluster: plan.seed.is_multiple_of(2).then_some(plan.clustered),
        connections: plan.connections,
        connect_timeout: Duration::from_secs(1),
        login_life: match plan.login_life {
            Some(life) => Duration::from_micros(life),
            None => Duration::from_secs(12 * 60 * 60),
        },
    }
}

pub fn parts(limiter: &LimiterPlan, local: Local) -> (Scope, Times, Fallback) {
    let window = Window::new(limiter.window).unwrap();
    let rule = |(factor, ms)| AnomalyRule::new(factor, Window::new(ms).unwrap(), window).unwrap();
    let rules = Rules {
        window,
        anomaly: limiter.anomaly.map(rule),
    };
    let scope = Scope {
        name: Namespace::new(format!("n{}", limiter.name)).unwrap(),
        rules,
    };
    let times = Times {
        deadline: Duration::from_millis(limiter.deadline),
        deny_cache: Duration::from_millis(limiter.deny_cache),
    };
    (scope, times, Fallback::new(limiter.policy, rules, local))
}
