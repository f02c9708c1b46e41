//! The plan of a seed.

use huntaze_rate_limit::limiter::OnStoreError;

use super::plan::{Fault, FaultKind, LimiterPlan, Login, MS, Plan, SECOND, Step, UserOp};
use super::server::{Micros, Tamper};

/// Probes, reconnects and replays take no longer after any fault. The first round of requests after it may still fail.
const RECOVERY: Micros = 3 * SECOND;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let random = &mut fastrand::Rng::with_seed(seed);
        let clustered = random.u8(..10) < 4;
        let shards = if clustered { random.usize(2..=4) } else { 1 };
        let replicas = usize::from(clustered || random.bool());
        let processes: Vec<_> = (0..one_of(random, &[1, 1, 2, 3]))
            .map(|_| one_of(random, &[1, 1, 2]))
            .collect();
        let ids = one_of(random, &[1, 2, 3, 5, 8]);
        let limiters = limiters(random);
        let latency = one_of(random, &[(40, 120), (100, 400), (300, 1500), (2000, 9000)]);
        let length = one_of(random, &[SECOND / 5, SECOND, 3 * SECOND, 8 * SECOND]);
        let mut plan = Self {
            seed,
            clustered,
            shards,
            replicas,
            processes,
            limiters,
            ids,
            steps: Vec::new(),
            faults: Vec::new(),
            latency,
            slicing: random.u8(..4) == 0,
            timer_delay: one_of(random, &[0, 0, MS]),
            passwords: one_of(
                random,
                &[Login::None, Login::None, Login::Passwords, Login::Source],
            ),
            login_life: None,
            connections: one_of(random, &[1, 1, 1, 2, 3]),
            recovery: RECOVERY,
        };
        let count = one_of(random, &[0, 1, 1, 1, 2, 2, 3]);
        let benign = random.u8(..4) == 0;
        for _ in 0..count {
            let fault = plan.fault(random, length, benign);
            plan.faults.push(fault);
        }
        plan.faults.sort_by_key(|fault| fault.at);
        plan.users(random, length);
        plan.vary();
        plan
    }

    /// Some plans are made more like situations that chance alone seldom meets. With chance of its own: the other plans do not
    /// depend on it.
    fn vary(&mut self) {
        let random = &mut fastrand::Rng::with_seed(!self.seed);
        if self.passwords == Login::Source && random.u8(..4) == 0 {
            self.login_life = Some(random.u64(4..20) * SECOND);
        }
        for step in &mut self.steps {
            if step.op == UserOp::Status && random.bool() {
                step.op = UserOp::Test;
            }
        }
        match random.u8(..36) {
            0 | 1 => self.begin_at_once(random),
            2 | 3 if self.clustered => self.spread(random),
            4 | 5 => self.share_an_outage(random),
            _ => {}
        }
    }

    /// Everything is asked while the first connections are being made. One request is a reset.
    fn begin_at_once(&mut self, random: &mut fastrand::Rng) {
        let begin = self.steps.first().map_or(0, |step| step.at);
        let within = random.u64(4..30) * self.latency.1;
        for step in &mut self.steps {
            step.at = begin + random.u64(..within);
            (step.id, step.retries) = (0, 2);
        }
        let reset = random.usize(..self.steps.len());
        self.steps[reset].op = UserOp::Reset;
        self.steps.sort_by_key(|step| step.at);
    }

    /// Batches of ids in several slots of a server, and a reply that is lost.
    fn spread(&mut self, random: &mut fastrand::Rng) {
        (self.ids, self.latency) = (12, (2 * MS, 9 * MS));
        let mut tampered = self.steps[random.usize(..self.steps.len())].at;
        for step in &mut self.steps {
            (step.burst, step.spread) = (11, true);
        }
        tampered += random.u64(..10 * MS);
        self.faults.push(Fault {
            at: tampered,
            lasts: 0,
            process: random.usize(..self.processes.len()),
            node: random.usize(..self.shards),
            kind: FaultKind::Tamper(one_of(random, &[Tamper::Lose, Tamper::Double])),
        });
    }

    /// Two worker threads, one with few checks, and an outage of seconds in which connections hang.
    fn share_an_outage(&mut self, random: &mut fastrand::Rng) {
        self.processes = vec![2];
        for limiter in &mut self.limiters {
            (limiter.policy, limiter.window) = (OnStoreError::Local, 60_000);
        }
        let at = self.steps[self.steps.len() / 2].at;
        self.faults = vec![Fault {
            at,
            lasts: random.u64(2..9) * SECOND,
            process: 0,
            node: random.usize(..self.shards),
            kind: match random.bool() {
                true => FaultKind::Kill { silent: true },
                false => FaultKind::BlackHole {
                    up: random.bool(),
                    down: true,
                },
            },
        }];
        for step in &mut self.steps {
            step.engine = usize::from(random.u8(..8) == 0);
            step.burst = 0;
        }
    }

    fn users(&mut self, random: &mut fastrand::Rng, length: Micros) {
        let limits: Vec<u32> = match random.u8(..4) {
            0 => vec![1],
            1 => vec![2, 3],
            2 => (1..=12).collect(),
            _ => vec![random.u32(1..6)],
        };
        let focus = one_of(random, &[1, 4]);
        let large = random.u8(..16) == 0;
        for _ in 0..random.usize(8..70) {
            // Some of the steps are close to a fault.
            let mut id = random.usize(..self.ids);
            if random.usize(..focus) > 0 {
                id = 0;
            }
            let mut limiter = random.usize(..self.limiters.len());
            let at = match (self.faults.is_empty(), random.u8(..3)) {
                (false, 0) => {
                    let fault = self.faults[random.usize(..self.faults.len())];
                    if let Some(concerned) = fault.kind.key() {
                        (limiter, id) = concerned;
                    }
                    (fault.at + random.u64(..fault.lasts + 50 * MS)).saturating_sub(20 * MS)
                }
                _ => random.u64(..length),
            };
            let op = match random.u8(..60) {
                0 | 1 => UserOp::Reset,
                2 | 3 => UserOp::Status,
                4..10 => UserOp::Limit,
                10 => UserOp::Flush,
                11 if random.u8(..4) == 0 => UserOp::Close,
                12 if random.u8(..8) == 0 && self.engines() > 1 => UserOp::End,
                _ => UserOp::Check,
            };
            self.steps.push(Step {
                at,
                engine: random.usize(..self.engines()),
                limiter,
                id,
                op,
                limit: limits[random.usize(..limits.len())],
                burst: match random.u8(..64) {
                    0 if large => random.u32(60..160),
                    ..8 => random.u32(1..9),
                    _ => 0,
                },
                spread: random.bool(),
                retries: one_of(random, &[0, 0, 1, 3]),
            });
        }
        if random.u8(..24) == 0 {
            self.freezes(random);
        }
        self.steps.sort_by_key(|step| step.at);
    }

    /// A process stands still again and again, each time with a check in flight, as between the calls of a function.
    fn freezes(&mut self, random: &mut fastrand::Rng) {
        let (process, lasts) = (
            random.usize(..self.processes.len()),
            random.u64(1..4) * SECOND,
        );
        let engine = self.processes[..process].iter().sum();
        let begin = self.faults.iter().map(Fault::until).max().unwrap_or(0) + SECOND;
        for n in 0..random.u64(3..7) {
            let at = begin + n * (lasts + 300 * MS);
            self.faults.push(Fault {
                at: at + 1,
                lasts,
                process,
                node: 0,
                kind: FaultKind::Freeze { suspends: false },
            });
            self.steps.push(Step {
                at,
                engine,
                limiter: random.usize(..self.limiters.len()),
                id: 0,
                op: UserOp::Check,
                limit: 5,
                burst: 0,
                spread: false,
                retries: 0,
            });
        }
    }

    fn fault(&self, random: &mut fastrand::Rng, length: Micros, benign: bool) -> Fault {
        let lasts = one_of(
            random,
            &[
                0,
                5 * MS,
                60 * MS,
                60 * MS,
                300 * MS,
                300 * MS,
                SECOND,
                SECOND,
                4 * SECOND,
                30 * SECOND,
            ],
        );
        let lasts = lasts + random.u64(..=lasts);
        let limiter = random.usize(..self.limiters.len());
        let id = random.usize(..self.ids);
        let mut fault = Fault {
            at: random.u64(..length),
            lasts,
            process: random.usize(..self.processes.len()),
            node: random.usize(..self.shards),
            kind: FaultKind::CloseIdle,
        };
        fault.kind = loop {
            let kind = match random.u8(..31) {
                0 => FaultKind::Kill {
                    silent: random.bool(),
                },
                1 | 2 if self.replicas > 0 => FaultKind::Failover {
                    lag: one_of(random, &[0, 2 * MS, 50 * MS, 500 * MS]),
                    gone: random.bool(),
                },
                3 | 4 if self.clustered => FaultKind::Migrate {
                    limiter,
                    id,
                    to: random.usize(..self.shards),
                },
                5 if self.clustered => FaultKind::ClusterDown,
                6 => FaultKind::Loading,
                7 => FaultKind::MasterDown,
                8 | 9 => FaultKind::Cut {
                    after: random.usize(..80),
                },
                10 => FaultKind::BlackHole {
                    up: true,
                    down: random.bool(),
                },
                11 => FaultKind::BlackHole {
                    up: false,
                    down: true,
                },
                12 => FaultKind::Dead,
                13 => FaultKind::Slow {
                    extra: one_of(random, &[3 * MS, 40 * MS, 400 * MS]),
                },
                14 => FaultKind::Pause,
                15 => FaultKind::Busy,
                16 => FaultKind::ScriptFlush {
                    after: random.u32(..4),
                },
                17 => FaultKind::FullMemory,
                18 => FaultKind::Unwritable,
                19 => FaultKind::MaxClients,
                20 => FaultKind::Forbidden,
                21 if self.passwords != Login::None => FaultKind::Rotate,
                22 => FaultKind::NameFails,
                23 => FaultKind::NameSlow,
                24 => FaultKind::Freeze {
                    suspends: random.bool(),
                },
                25 => FaultKind::ServerClock {
                    ms: one_of(random, &[-5000, -300, -1, 1, 700, 5000]),
                },
                26 => FaultKind::ProcessClock {
                    ms: one_of(random, &[-3_600_000, -1, 1, 3_600_000]),
                },
                30 if self.clustered => FaultKind::Disagree { limiter, id },
                27 | 28 => FaultKind::Tamper(one_of(
                    random,
                    &[
                        Tamper::Lose,
                        Tamper::Double,
                        Tamper::Garbage,
                        Tamper::Truncate,
                    ],
                )),
                29 if random.bool() => FaultKind::Foreign { limiter, id },
                29 => FaultKind::CloseIdle,
                _ => continue,
            };
            if !benign || kind.is_benign() {
                break kind;
            }
        };
        // Longer, a replay may first be due in the last round, and be redirected then.
        if let FaultKind::Disagree { .. } = fault.kind {
            fault.lasts = fault.lasts.min(4 * SECOND);
        }
        fault
    }
}

fn limiters(random: &mut fastrand::Rng) -> Vec<LimiterPlan> {
    let mut limiters: Vec<LimiterPlan> = Vec::new();
    for _ in 0..one_of(random, &[1, 1, 1, 2, 2, 3]) {
        let window = one_of(random, &[20, 200, 1000, 5000, 60_000]);
        let mut limiter = LimiterPlan {
            name: limiters.len(),
            window,
            anomaly: random.bool().then(|| {
                (
                    one_of(random, &[1.0, 1.5, 2.0]),
                    one_of(random, &[100, 2000, 300_000]),
                )
            }),
            policy: one_of(
                random,
                &[
                    OnStoreError::Local,
                    OnStoreError::Local,
                    OnStoreError::Open,
                    OnStoreError::Closed,
                    OnStoreError::Throw,
                ],
            ),
            deadline: one_of(random, &[250, 250, 100, 20, 1000]),
            deny_cache: one_of(random, &[0, 1000, 1000, 50]),
        };
        // Another limiter of a name, with the same rules.
        if let Some(first) = limiters.first().filter(|_| random.u8(..4) == 0) {
            (limiter.name, limiter.window, limiter.anomaly) =
                (first.name, first.window, first.anomaly);
        }
        limiters.push(limiter);
    }
    limiters
}

fn one_of<T: Copy>(random: &mut fastrand::Rng, values: &[T]) -> T {
    values[random.usize(..values.len())]
}
