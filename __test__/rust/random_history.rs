//! Random histories: batches of requests, and a step of the clock before each.
//!
//! Steps are drawn relative to the window and to the last promised retry, so that the moments at which off-by-one errors
//! hide (exactly `t + window`, exactly the promised moment, one millisecond before each) occur in every history.

use huntaze_rate_limit::quota::{MAX_WINDOW_MS, Millis, Rules};
use huntaze_rate_limit::store::{Op, Request};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::requests::{anomaly_rules, plain_rules, request};

/// How many cases a property has. `SOAK=100 cargo test` runs a hundred times as many.
pub fn cases(n: u32) -> ProptestConfig {
    let soak = std::env::var("SOAK")
        .ok()
        .map_or(1, |factor| factor.parse().unwrap());
    ProptestConfig {
        // Histories are short enough to read: a regression becomes a test with a name, not a line in a file.
        failure_persistence: None,
        ..ProptestConfig::with_cases(n * soak)
    }
}

/// Any time of today. Nothing may depend on its last digits.
pub const EPOCH: Millis = 1_753_000_000_123;

/// The step of the clock before a batch.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Nothing: the same millisecond.
    Still,
    /// A few milliseconds.
    Tick(Millis),
    /// This many thousandths of the window.
    Fraction(u64),
    /// To one millisecond before the last admission leaves the window.
    AlmostWindow,
    /// To the moment the last admission leaves the window.
    Window,
    /// To one millisecond before the last promised retry.
    AlmostRetry,
    /// To the last promised retry.
    Retry,
    /// Three windows.
    Far,
    /// Back by this many thousandths of the window.
    Back(u64),
}

/// One request of a batch.
#[derive(Debug, Clone, Copy)]
pub struct RandomRequest {
    pub op: Op,
    pub who: usize,
    pub limit: u32,
}

impl RandomRequest {
    pub fn request(self) -> Request {
        request(self.op, &self.who.to_string(), self.limit)
    }
}

/// A whole history.
#[derive(Debug, Clone)]
pub struct RandomHistory {
    pub rules: Rules,
    pub batches: Vec<(Step, Vec<RandomRequest>)>,
}

/// How many ids a history has.
pub const IDS: usize = 3;

/// The clock of a test: it moves by steps.
#[derive(Debug)]
pub struct TestClock {
    window: Millis,
    pub now: Millis,
    /// Time as it truly passed: as the clock has it, except that a step back takes none.
    pub true_now: Millis,
    last_admission: Millis,
    last_retry: Millis,
}

impl TestClock {
    pub fn new(rules: Rules) -> Self {
        Self {
            window: rules.window.ms(),
            now: EPOCH,
            true_now: EPOCH,
            last_admission: EPOCH,
            last_retry: EPOCH,
        }
    }

    pub fn step(&mut self, step: Step) {
        // Far enough from 0 for any history here: 60 steps back of 31 days each are 5 years.
        let to = match step {
            Step::Still => self.now,
            Step::Tick(ms) => self.now + ms,
            Step::Fraction(thousandths) => self.now + self.fraction(thousandths),
            Step::AlmostWindow => self.last_admission + self.window - 1,
            Step::Window => self.last_admission + self.window,
            Step::AlmostRetry => self.last_retry.saturating_sub(1),
            Step::Retry => self.last_retry,
            Step::Far => self.now + 3 * self.window,
            Step::Back(thousandths) => {
                self.now -= self.fraction(thousandths);
                return;
            }
        };
        let step = to.saturating_sub(self.now);
        self.now += step;
        self.true_now += step;
    }

    /// Records an answer, for the steps that aim at it.
    pub fn record(&mut self, allowed: bool, retry_after: Millis) {
        if allowed {
            self.last_admission = self.now;
        } else {
            self.last_retry = self.now + retry_after;
        }
    }

    fn fraction(&self, thousandths: u64) -> Millis {
        (self.window * thousandths).div_ceil(1000)
    }
}

/// Histories whose clock never steps back.
pub fn forward() -> impl Strategy<Value = RandomHistory> {
    history(step().boxed())
}

/// Histories whose clock also steps back, by up to two windows.
pub fn with_steps_back() -> impl Strategy<Value = RandomHistory> {
    history(prop_oneof![4 => step(), 1 => (1..2000_u64).prop_map(Step::Back)].boxed())
}

/// Histories whose clock also steps back, but in which nothing ever expires.
pub fn without_expiry() -> impl Strategy<Value = RandomHistory> {
    let small = prop_oneof![
        Just(Step::Still),
        (0..10_u64).prop_map(Step::Fraction),
        (0..10_u64).prop_map(Step::Back),
    ];
    history(small.boxed()).prop_map(|mut history| {
        // Rounded up to a whole millisecond, a fraction of a short window would be the whole window.
        history.rules = anomaly_rules(MAX_WINDOW_MS, 1.5, MAX_WINDOW_MS);
        history
    })
}

fn history(step: BoxedStrategy<Step>) -> impl Strategy<Value = RandomHistory> {
    let batch = (step, vec(ask(), 1..=4));
    (rules(), vec(batch, 1..60)).prop_map(|(rules, batches)| RandomHistory { rules, batches })
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let windows = prop_oneof![
        Just(1),
        2..=20_u64,
        100..=1000_u64,
        Just(3_600_000),
        Just(MAX_WINDOW_MS),
    ];
    let factors = prop_oneof![Just(1.0), Just(1.5), Just(2.0)];
    // The anomaly window in thousandths of the quota's; above 1000 it is cut.
    let anomalies = option::weighted(0.8, (factors, 1..=1500_u64));
    (windows, anomalies).prop_map(|(window, anomaly)| match anomaly {
        None => plain_rules(window),
        Some((factor, thousandths)) => {
            let counted = (window * thousandths).div_ceil(1000).min(MAX_WINDOW_MS);
            anomaly_rules(window, factor, counted)
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Still),
        4 => (1..=3_u64).prop_map(Step::Tick),
        3 => (0..=1300_u64).prop_map(Step::Fraction),
        1 => Just(Step::AlmostWindow),
        1 => Just(Step::Window),
        2 => Just(Step::AlmostRetry),
        2 => Just(Step::Retry),
        1 => Just(Step::Far),
    ]
}

fn ask() -> impl Strategy<Value = RandomRequest> {
    let op = prop_oneof![
        10 => Just(Op::Check),
        5 => Just(Op::Limit),
        2 => Just(Op::Status),
        1 => Just(Op::Reset),
        2 => (0..6_u32).prop_map(Op::CountDenials),
    ];
    // Mostly one limit an id, as a plan has it; now and then another, as a change of plan brings.
    let limit = prop_oneof![8 => Just(None), 1 => (1..=12_u32).prop_map(Some)];
    (op, 0..IDS, limit).prop_map(|(op, who, limit)| {
        let limit = limit.unwrap_or([1, 3, 7][who]);
        let op = match op {
            // At least one and at most one more than the threshold, which is never below the limit.
            Op::CountDenials(n) => Op::CountDenials(1 + n % (limit + 1)),
            op => op,
        };
        RandomRequest { op, who, limit }
    })
}
