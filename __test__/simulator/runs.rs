//! Many runs, one a seed; and of a failing one the simplest plan that fails in the same way.

use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::checker::Failure;
use super::plan::Plan;
use super::shrink::shrink;
use super::world::{self, Summary, Trace};

/// Seeds that have failed once.
const FAILED_BEFORE: [u64; 10] = [
    4128, 78382, 79895, 91423, 98754, 2131621, 2504356, 2567501, 2629636, 2722593,
];

/// Runs a plan. A panic is a failure like any other.
pub fn outcome(plan: &Plan) -> Result<Summary, Failure> {
    let ended = panic::catch_unwind(AssertUnwindSafe(|| world::run(plan, None)));
    ended.unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(Failure {
            rule: "panic",
            message: message.unwrap_or_default(),
        })
    })
}

/// The plan of a run and its events.
pub fn story(plan: &Plan) -> String {
    let trace = Trace::default();
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        world::run(plan, Some(Rc::clone(&trace)))
    }));
    let last = match ended {
        Ok(Ok(_)) => "no rule is broken",
        Ok(Err(_)) => "a rule is broken",
        Err(_) => "panicked",
    };
    let lines = trace.borrow().join("\n");
    format!("{plan:#?}\n\n{lines}\n{last}")
}

/// Runs the seeds from `first` on, on all cores. With `all`, it goes on after a failure.
fn run_many(first: u64, count: u64, all: bool) -> (Summary, Vec<(u64, Failure)>) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new((Summary::default(), Vec::new()));
    let lock = || total.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mut sum = Summary::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    match outcome(&Plan::of(first + seed)) {
                        Ok(summary) => sum.add(&summary),
                        Err(failure) => {
                            stop.store(!all, Ordering::Relaxed);
                            lock().1.push((first + seed, failure));
                        }
                    }
                }
                lock().0.add(&sum);
            });
        }
    });
    let (sum, mut failed) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(seed, _)| *seed);
    (sum, failed)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl Summary {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.asked += other.asked;
        self.failed += other.failed;
        self.lost += other.lost;
        self.changes += other.changes;
        self.moved += other.moved;
        self.connects += other.connects;
        for (sum, more) in self.answers.iter_mut().zip(other.answers) {
            *sum += more;
        }
    }
}

fn report(seed: u64, failure: &Failure) -> String {
    let (plan, shrunk) = shrink(&Plan::of(seed), failure);
    format!(
        "seed {seed} breaks {}: {}\n\nthe simplest plan found breaks it, too: {}\n{}\nto see it again: npm run simulate -- --seed={seed}",
        failure.rule,
        failure.message,
        shrunk.message,
        story(&plan),
    )
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn random_runs_break_no_rule() {
    let first = number("SIMULATE_SEED").unwrap_or(1);
    let count = number("SIMULATE_RUNS").unwrap_or(1000);
    let all = number("SIMULATE_ALL").is_some();
    let started = Instant::now();
    if count == 1 {
        println!("{}", story(&Plan::of(first)));
    }
    let (sum, failed) = run_many(first, count, all);
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{count} runs in {seconds:.1} s, {:.0} a second: {sum:?}",
        count as f64 / seconds
    );
    if all {
        survey(&failed);
    } else if let Some((seed, failure)) = failed.first() {
        panic!("{}", report(*seed, failure));
    }
    assert!(failed.is_empty());
    assert!(count < 100 || sum.answers.iter().filter(|&&n| n > 0).count() >= 4);
}

/// The rules that were broken, how often, and the simplest plan for the first seed of each.
fn survey(failed: &[(u64, Failure)]) {
    let mut rules: Vec<_> = failed.iter().map(|(_, failure)| failure.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    for rule in rules {
        let of_rule: Vec<_> = failed
            .iter()
            .filter(|(_, failure)| failure.rule == rule)
            .collect();
        let seeds: Vec<_> = of_rule.iter().take(10).map(|(seed, _)| *seed).collect();
        let (seed, failure) = of_rule[0];
        println!(
            "=== {rule}: {} seeds, {seeds:?}\n{}\n",
            of_rule.len(),
            report(*seed, failure)
        );
    }
}

#[test]
fn seeds_that_failed_once_break_no_rule() {
    for seed in FAILED_BEFORE {
        if let Err(failure) = outcome(&Plan::of(seed)) {
            panic!("{}", report(seed, &failure));
        }
    }
}

/// A run is a function of its seed.
#[test]
fn two_runs_of_a_seed_are_alike() {
    for seed in 0..20 {
        let plan = Plan::of(seed);
        assert_eq!(story(&plan), story(&plan), "seed {seed}");
    }
}
