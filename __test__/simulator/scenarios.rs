//! The faults of docs/failure-modes.md one by one, each in a plan that was written by hand, and over several seeds of the network. Those of the
//! kernel, of files and of TLS (F17) are provoked with real servers only: `__test__/chaos`.

use huntaze_rate_limit::limiter::OnStoreError;
use huntaze_rate_limit::store::Source;

use super::plan::{Fault, FaultKind, LimiterPlan, Login, MS, Plan, SECOND, Step, UserOp};
use super::runs::{outcome, story};
use super::server::{Micros, Tamper};
use super::world::Summary;

const SEEDS: u64 = 30;

/// One process that asks for one of two ids every 20 ms, for four seconds.
fn steady(clustered: bool) -> Plan {
    let step = |n: u64| Step {
        at: n * 20 * MS,
        engine: 0,
        limiter: 0,
        id: (n % 2) as usize,
        op: UserOp::Check,
        limit: 5,
        burst: 0,
        spread: false,
        retries: 0,
    };
    Plan {
        seed: 0,
        clustered,
        shards: if clustered { 3 } else { 1 },
        replicas: 1,
        processes: vec![1],
        limiters: vec![LimiterPlan {
            name: 0,
            window: 100,
            anomaly: None,
            policy: OnStoreError::Local,
            deadline: 250,
            deny_cache: 0,
        }],
        ids: 2,
        steps: (0..200).map(step).collect(),
        faults: Vec::new(),
        latency: (100, 400),
        slicing: false,
        timer_delay: 0,
        passwords: Login::None,
        login_life: None,
        connections: 1,
        recovery: 5 * SECOND,
    }
}

fn fault(at: Micros, lasts: Micros, kind: FaultKind) -> Fault {
    Fault {
        at,
        lasts,
        process: 0,
        node: 0,
        kind,
    }
}

impl Plan {
    fn with(mut self, faults: &[Fault]) -> Self {
        self.faults.extend(faults);
        self
    }

    /// The fault begins a second after the start, at the primary of each shard.
    fn during(self, lasts: Micros, kind: FaultKind) -> Self {
        let at = |node| Fault {
            node,
            ..fault(SECOND, lasts, kind)
        };
        let faults: Vec<_> = (0..self.shards).map(at).collect();
        self.with(&faults)
    }
}

/// Runs a plan with several seeds, on one Redis and on a cluster where `plan` makes both. No rule is broken; the sums are returned.
fn over_seeds(plan: &Plan) -> Summary {
    let mut sum = Summary::default();
    for seed in 0..SEEDS {
        let plan = Plan {
            seed,
            ..plan.clone()
        };
        match outcome(&plan) {
            Ok(summary) => sum.add(&summary),
            Err(failure) => panic!(
                "{} with seed {seed}: {}\n{}",
                failure.rule,
                failure.message,
                story(&plan)
            ),
        }
    }
    sum
}

fn both(faults: impl Fn(Plan) -> Plan) -> [Summary; 2] {
    [false, true].map(|clustered| over_seeds(&faults(steady(clustered))))
}

fn by(summary: &Summary, source: Source) -> u64 {
    summary.answers[source as usize]
}

/// Redis decides everything, and no breaker opens.
fn unnoticed(summary: &Summary) {
    assert_eq!(
        by(summary, Source::Redis) + by(summary, Source::DenyCache),
        summary.asked as u64,
        "{summary:?}"
    );
    assert_eq!((summary.failed, summary.changes), (0, 0), "{summary:?}");
}

/// The process decides meanwhile, and the store goes away and comes back once a run.
fn an_outage(summary: &Summary) {
    assert!(by(summary, Source::Local) > 5 * SEEDS, "{summary:?}");
    assert_eq!(summary.failed, 0, "{summary:?}");
    assert!(
        summary.changes >= 2 * SEEDS && summary.changes.is_multiple_of(2),
        "{summary:?}"
    );
}

#[test]
fn without_faults_redis_decides_everything() {
    both(|plan| plan).iter().for_each(unnoticed);
}

#[test]
fn f1_a_primary_is_killed() {
    for silent in [false, true] {
        both(|plan| plan.during(SECOND, FaultKind::Kill { silent }))
            .iter()
            .for_each(an_outage);
    }
}

#[test]
fn f2_a_replica_takes_over_from_a_primary_that_is_gone() {
    let kind = FaultKind::Failover { lag: 0, gone: true };
    for summary in both(|plan| plan.during(3 * SECOND, kind)) {
        assert!(by(&summary, Source::Redis) > 100 * SEEDS, "{summary:?}");
    }
}

#[test]
fn f2_a_replica_takes_over_while_the_primary_goes_on() {
    let kind = FaultKind::Failover {
        lag: 0,
        gone: false,
    };
    for lasts in [0, 50 * MS, SECOND] {
        both(|plan| plan.during(lasts, kind));
    }
}

#[test]
fn f3_a_primary_becomes_a_replica() {
    let plan = steady(false).during(
        0,
        FaultKind::Failover {
            lag: 0,
            gone: false,
        },
    );
    let summary = over_seeds(&plan);
    assert!(by(&summary, Source::Redis) > 100 * SEEDS, "{summary:?}");
}

#[test]
fn f4_nodes_redirect_a_key_in_circles() {
    let kind = FaultKind::Disagree { limiter: 0, id: 0 };
    let summary = over_seeds(&steady(true).during(SECOND, kind));
    assert!(summary.moved > 100, "{summary:?}");
}

/// A replay is refused again and again, and the probes before it are answered.
#[test]
fn f4_nodes_redirect_a_key_in_circles_for_long() {
    let kind = FaultKind::Disagree { limiter: 0, id: 0 };
    let mut plan = steady(true).during(45 * SECOND, kind);
    // A single check: the shard is held from the start until its admission is replayed.
    plan.steps.truncate(1);
    plan.steps[0].at = 2 * SECOND;
    plan.limiters[0].window = 60_000;
    over_seeds(&plan);
}

#[test]
fn f5_slots_move_under_traffic() {
    for lasts in [0, 5 * MS, 300 * MS, 2 * SECOND] {
        for to in 0..3 {
            let kinds =
                [0, 1].map(|id| fault(SECOND, lasts, FaultKind::Migrate { limiter: 0, id, to }));
            let mut plan = steady(true).with(&kinds);
            // Several requests of a key in a batch: TRYAGAIN.
            plan.steps
                .iter_mut()
                .step_by(3)
                .for_each(|step| step.burst = 3);
            unnoticed(&over_seeds(&plan));
        }
    }
}

#[test]
fn f6_the_cluster_is_down() {
    an_outage(&over_seeds(
        &steady(true).during(SECOND, FaultKind::ClusterDown),
    ));
}

#[test]
fn f7_a_server_is_loading() {
    both(|plan| plan.during(SECOND, FaultKind::Loading))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f8_a_server_has_lost_its_primary() {
    both(|plan| plan.during(SECOND, FaultKind::MasterDown))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f9_a_connection_is_reset_at_any_byte() {
    for after in 0..30 {
        for summary in both(|plan| plan.during(0, FaultKind::Cut { after })) {
            assert!(
                by(&summary, Source::Redis) + 3 * SEEDS >= summary.asked as u64,
                "{summary:?}"
            );
        }
    }
}

#[test]
fn f9_a_server_closes_a_connection() {
    for summary in both(|plan| plan.during(0, FaultKind::CloseIdle)) {
        assert!(
            by(&summary, Source::Redis) + 2 * SEEDS >= summary.asked as u64,
            "{summary:?}"
        );
    }
}

#[test]
fn f9_a_reply_ends_half_way() {
    both(|plan| plan.during(0, FaultKind::Tamper(Tamper::Truncate)));
}

#[test]
fn f10_nothing_passes_in_one_direction_or_both() {
    for (up, down) in [(true, false), (false, true), (true, true)] {
        both(|plan| plan.during(SECOND, FaultKind::BlackHole { up, down }))
            .iter()
            .for_each(an_outage);
    }
}

#[test]
fn f10_a_connection_is_dead_and_nobody_says_so() {
    both(|plan| plan.during(0, FaultKind::Dead));
}

/// A connection that has been idle gets a PING first, and is replaced within the deadline.
#[test]
fn f10_an_idle_connection_is_dead() {
    for clustered in [false, true] {
        let mut plan = steady(clustered).with(&[fault(2 * SECOND, 0, FaultKind::Dead)]);
        plan.faults.extend([1, 2].map(|node| Fault {
            node,
            ..plan.faults[0]
        }));
        plan.steps
            .retain(|step| !(SECOND..4 * SECOND).contains(&step.at));
        for n in 0..5 {
            plan.steps.push(Step {
                at: 4 * SECOND + n * 300 * MS,
                ..plan.steps[0]
            });
        }
        unnoticed(&over_seeds(&plan));
    }
}

#[test]
fn f11_a_server_is_far_away_or_slow() {
    both(|plan| plan.during(SECOND, FaultKind::Slow { extra: 30 * MS }))
        .iter()
        .for_each(unnoticed);
    both(|plan| plan.during(SECOND, FaultKind::Slow { extra: 400 * MS }))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f11_bytes_arrive_in_pieces() {
    both(|plan| Plan {
        slicing: true,
        ..plan
    })
    .iter()
    .for_each(unnoticed);
}

#[test]
fn f12_a_server_stands_still() {
    both(|plan| plan.during(100 * MS, FaultKind::Pause))
        .iter()
        .for_each(unnoticed);
    both(|plan| plan.during(2 * SECOND, FaultKind::Pause))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f13_a_server_is_busy_with_a_script() {
    both(|plan| plan.during(SECOND, FaultKind::Busy))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f14_scripts_are_flushed_again_and_again() {
    let flush = |n: u64| {
        fault(
            SECOND + n * 7 * MS,
            0,
            FaultKind::ScriptFlush {
                after: n as u32 % 3,
            },
        )
    };
    let flushes: Vec<_> = (0..100).map(flush).collect();
    both(|plan| plan.with(&flushes)).iter().for_each(unnoticed);
}

/// A refused write is no admission.
#[test]
fn f15_a_server_is_out_of_memory() {
    for summary in both(|plan| plan.during(SECOND, FaultKind::FullMemory)) {
        assert!(by(&summary, Source::Local) > SEEDS, "{summary:?}");
        assert_eq!(summary.changes, 0, "{summary:?}");
    }
}

#[test]
fn f15_a_server_takes_no_writes() {
    both(|plan| plan.during(SECOND, FaultKind::Unwritable))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f15_another_program_has_written_a_key() {
    for summary in both(|plan| plan.during(SECOND, FaultKind::Foreign { limiter: 0, id: 0 })) {
        assert!(by(&summary, Source::Local) > SEEDS, "{summary:?}");
        assert_eq!(summary.changes, 0, "{summary:?}");
    }
}

#[test]
fn f16_a_server_has_no_connection_left() {
    both(|plan| plan.during(SECOND, FaultKind::MaxClients))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f18_the_user_may_not_run_the_script() {
    both(|plan| plan.during(SECOND, FaultKind::Forbidden))
        .iter()
        .for_each(an_outage);
}

#[test]
fn f18_the_password_is_rotated_under_traffic() {
    for passwords in [Login::Passwords, Login::Source] {
        let rotated = |plan: Plan| Plan { passwords, ..plan }.during(SECOND, FaultKind::Rotate);
        both(rotated).iter().for_each(unnoticed);
        let close = fault(3 * SECOND, 0, FaultKind::CloseIdle);
        for summary in both(|plan| rotated(plan).with(&[close])) {
            assert!(
                by(&summary, Source::Redis) + 2 * SEEDS >= summary.asked as u64,
                "{summary:?}"
            );
        }
    }
}

#[test]
fn f19_the_name_does_not_resolve_or_slowly() {
    for kind in [FaultKind::NameFails, FaultKind::NameSlow] {
        // An established connection needs no name.
        both(|plan| plan.during(SECOND, kind))
            .iter()
            .for_each(unnoticed);
        both(|plan| {
            plan.with(&[
                fault(SECOND, SECOND, kind),
                fault(SECOND + MS, 0, FaultKind::CloseIdle),
            ])
        });
    }
}

#[test]
fn f19_the_name_leads_elsewhere_after_a_failover() {
    let failover = fault(SECOND, SECOND, FaultKind::Failover { lag: 0, gone: true });
    let slow = fault(SECOND, 500 * MS, FaultKind::NameSlow);
    over_seeds(&steady(false).with(&[failover, slow]));
}

/// The breaker does not open because a process stood still.
#[test]
fn f20_a_process_stands_still() {
    for suspends in [false, true] {
        for lasts in [100 * MS, 2 * SECOND, 20 * SECOND] {
            for summary in both(|plan| plan.during(lasts, FaultKind::Freeze { suspends })) {
                assert_eq!(summary.changes, 0, "{summary:?}");
            }
        }
    }
}

#[test]
fn f20_a_server_closes_the_connections_of_a_process_that_stands_still() {
    let freeze = fault(SECOND, 20 * SECOND, FaultKind::Freeze { suspends: false });
    let close = fault(10 * SECOND, 0, FaultKind::CloseIdle);
    for summary in both(|plan| plan.with(&[freeze, close])) {
        assert_eq!(summary.changes, 0, "{summary:?}");
    }
}

#[test]
fn f21_many_clients_reconnect_at_once() {
    let mut plan = steady(false).during(SECOND, FaultKind::Kill { silent: false });
    plan.processes = vec![1; 100];
    plan.steps = (0..100)
        .flat_map(|engine| {
            steady(false)
                .steps
                .into_iter()
                .step_by(10)
                .map(move |step| Step { engine, ..step })
        })
        .collect();
    plan.steps.sort_by_key(|step| step.at);
    let summary =
        outcome(&plan).unwrap_or_else(|failure| panic!("{}: {}", failure.rule, failure.message));
    assert!(summary.connects < 100 * 12, "{summary:?}");
}

#[test]
fn f22_a_worker_thread_ends_with_checks_in_flight() {
    for clustered in [false, true] {
        let mut plan = steady(clustered).during(
            500 * MS,
            FaultKind::BlackHole {
                up: true,
                down: true,
            },
        );
        plan.processes = vec![2];
        plan.steps
            .iter_mut()
            .step_by(2)
            .for_each(|step| step.engine = 1);
        plan.steps[60].op = UserOp::End;
        plan.steps[60].engine = 1;
        over_seeds(&plan);
    }
}

#[test]
fn f22_a_limiter_is_closed_with_checks_in_flight() {
    for clustered in [false, true] {
        let mut plan = steady(clustered);
        plan.steps[60].op = UserOp::Close;
        plan.steps[59].burst = 100;
        unnoticed(&over_seeds(&plan));
    }
}

#[test]
fn f23_clocks_are_set() {
    for ms in [-5000, -300, 300, 5000] {
        both(|plan| plan.during(0, FaultKind::ServerClock { ms }))
            .iter()
            .for_each(unnoticed);
    }
    for ms in [-3_600_000, 3_600_000] {
        both(|plan| plan.during(0, FaultKind::ProcessClock { ms }))
            .iter()
            .for_each(unnoticed);
    }
}

#[test]
fn f24_a_server_answers_garbage() {
    both(|plan| plan.during(0, FaultKind::Tamper(Tamper::Garbage)));
}

#[test]
fn f25_replies_are_out_of_step() {
    for tamper in [Tamper::Lose, Tamper::Double] {
        both(|plan| plan.during(0, FaultKind::Tamper(tamper)));
    }
}

#[test]
fn f26_a_replica_is_promoted_without_the_last_writes() {
    for gone in [false, true] {
        let kind = FaultKind::Failover {
            lag: 500 * MS,
            gone,
        };
        for summary in both(|plan| plan.during(SECOND, kind)) {
            assert!(summary.lost >= SEEDS, "{summary:?}");
        }
    }
}

/// A check whose reply is lost is given up. The next reply, that of a health check, must not be taken for its own, and so on for
/// ever.
#[test]
fn f25_a_reply_is_lost_before_a_pause() {
    for clustered in [false, true] {
        let mut plan = steady(clustered).during(0, FaultKind::Tamper(Tamper::Lose));
        plan.steps
            .retain(|step| step.at < SECOND + 100 * MS || step.at > 3 * SECOND);
        let summary = over_seeds(&plan);
        assert!(
            by(&summary, Source::Redis) + 4 * SEEDS >= summary.asked as u64,
            "{summary:?}"
        );
    }
}

/// Several calls for a server in one batch, with tags of their own: the next batch must not have the same ones.
#[test]
fn f25_a_reply_to_one_of_several_calls_is_lost() {
    let mut plan = steady(true).during(0, FaultKind::Tamper(Tamper::Lose));
    plan.ids = 12;
    plan.latency = (5 * MS, 15 * MS);
    for step in &mut plan.steps {
        (step.burst, step.spread, step.limit) = (11, true, 1);
    }
    over_seeds(&plan);
}

/// A limiter with a closed breaker has the admissions of another thread in its hands, and waits for a connection: they are not
/// taken for sent.
#[test]
fn f10_replays_wait_for_a_connection() {
    for clustered in [false, true] {
        let mut plan = steady(clustered).during(
            6 * SECOND,
            FaultKind::BlackHole {
                up: false,
                down: true,
            },
        );
        plan.processes = vec![2];
        plan.limiters[0].window = 60_000;
        plan.limiters[0].deadline = 100;
        plan.steps.truncate(40);
        let step = |n: u64| Step {
            at: 2 * SECOND + n * 300 * MS,
            engine: 1,
            ..plan.steps[0]
        };
        let late: Vec<_> = (0..5).map(step).collect();
        plan.steps.extend(late);
        over_seeds(&plan);
    }
}

/// A reset that was submitted before the cluster was known.
#[test]
fn a_reset_is_answered_after_the_shards_are_known() {
    for seed in 0..300 {
        let mut plan = steady(true);
        (plan.seed, plan.latency, plan.connections) = (seed, (5 * MS, 25 * MS), 2);
        plan.limiters[0].deny_cache = 1000;
        plan.limiters[0].window = 5000;
        plan.limiters[0].deadline = 1000;
        plan.steps.truncate(40);
        let random = &mut fastrand::Rng::with_seed(seed);
        for (n, step) in plan.steps.iter_mut().enumerate() {
            step.at = n as u64 * random.u64(1..8) * MS;
            (step.id, step.limit) = (0, 1);
            if n == 2 {
                step.op = UserOp::Reset;
            }
        }
        plan.steps.sort_by_key(|step| step.at);
        if let Err(failure) = outcome(&plan) {
            panic!("{}: {}\n{}", failure.rule, failure.message, story(&plan));
        }
    }
}
