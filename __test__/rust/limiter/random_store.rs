//! A store that does anything at any time, and requests at random: every request is answered exactly once, and in time.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use huntaze_rate_limit::limiter::{OnStoreError, Times};
use huntaze_rate_limit::quota::Outcome;
use huntaze_rate_limit::store::redis::cluster::ShardMap;
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, StoreError};

use super::fake_stores::Logged;
use super::simulation::{FakeStore, ReplayReply, Reply, Setup, Simulation};
use crate::requests::{anomaly_rules, request};

const DEADLINE: Duration = Duration::from_millis(100);

struct RandomStore {
    random: Rng,
    logged: Logged,
    /// How likely a batch fails, and is not answered, in percent.
    failing: u32,
    silent: u32,
    /// Answers take up to two to this power, in microseconds.
    slowest: u32,
    /// The connection was ready for the last replay.
    ready: bool,
}

impl RandomStore {
    fn happens(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn delay(&mut self) -> Duration {
        let magnitude = self.random.u32(8..self.slowest);
        Duration::from_micros(self.random.u64(..1 << magnitude))
    }

    fn error(&mut self) -> StoreError {
        let kinds = [
            ErrorKind::Refused,
            ErrorKind::Disconnected,
            ErrorKind::Timeout,
            ErrorKind::Busy,
            ErrorKind::Oom,
            ErrorKind::WrongType,
        ];
        StoreError::new(kinds[self.random.usize(..kinds.len())], "by chance")
    }

    /// Indices below `count` in random order, in some pieces. Some may be missing.
    fn pieces(&mut self, count: usize) -> Vec<Vec<usize>> {
        let mut indices: Vec<_> = (0..count).collect();
        self.random.shuffle(&mut indices);
        if self.happens(self.silent) {
            indices.truncate(self.random.usize(..=count));
        }
        let mut pieces = Vec::new();
        while !indices.is_empty() {
            pieces.push(indices.split_off(self.random.usize(..indices.len())));
        }
        if self.happens(20) {
            pieces.insert(0, Vec::new());
        }
        pieces
    }
}

impl FakeStore for RandomStore {
    fn on_batch(&mut self, requests: &[Request], shard: usize) -> Reply {
        assert!(requests.len() <= 64);
        let _ = self.logged.on_batch(requests, shard);
        if self.happens(self.silent) {
            return match self.happens(30) {
                true => Reply::Ends(self.delay()),
                false => Reply::Never,
            };
        }
        match self.happens(70) {
            true => Reply::After(self.delay()),
            false => {
                let pieces = self.pieces(requests.len()).into_iter();
                Reply::Parts(pieces.map(|piece| (self.delay(), piece)).collect())
            }
        }
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        if self.happens(self.failing) {
            return requests.iter().map(|_| Err(self.error())).collect();
        }
        let mut results = self.logged.decide(requests);
        for result in &mut results {
            if self.happens(self.failing / 4) {
                *result = Err(self.error());
            }
        }
        // A store that answers too little.
        if self.happens(self.silent / 8) {
            results.truncate(requests.len() / 2);
        }
        results
    }

    fn on_probe(&mut self, _: usize) -> Option<Result<(), StoreError>> {
        match self.happens(self.silent) {
            true => None,
            false if self.happens(self.failing) => Some(Err(self.error())),
            false => Some(Ok(())),
        }
    }

    fn can_send(&mut self) -> bool {
        self.ready = !self.happens(self.silent);
        self.ready
    }

    fn on_replay(&mut self, replays: &[Replay], _: usize) -> ReplayReply {
        assert!(replays.len() <= 64);
        if !self.ready {
            return ReplayReply::Never;
        }
        if self.happens(self.silent) {
            return ReplayReply::Some(self.pieces(replays.len()).concat());
        }
        let result = |store: &mut Self| match store.happens(store.failing) {
            true => Err(store.error()),
            false => Ok(()),
        };
        ReplayReply::All(replays.iter().map(|_| result(self)).collect())
    }
}

/// One run. Returns how many requests the store decided.
fn run(seed: u64) -> u64 {
    let mut random = Rng::with_seed(seed);
    let rules = anomaly_rules(1 << random.u32(4..14), 2.0, 5000);
    let policies = OnStoreError::ALL;
    let setup = Setup {
        rules,
        times: Times {
            deadline: DEADLINE,
            deny_cache: Duration::from_millis(random.u64(..3) * 100),
        },
        map: ShardMap::split(random.u16(1..4)),
        ..Setup::new(policies[random.usize(..policies.len())], DEADLINE)
    };
    let store = RandomStore {
        random: Rng::with_seed(seed + 1),
        logged: Logged::new(Default::default(), rules),
        failing: random.u32(..30),
        silent: random.u32(..30),
        slowest: random.u32(10..19),
        ready: true,
    };
    let mut it: Simulation<RandomStore> = setup.clone().over_clock(|clock| RandomStore {
        logged: Logged::new(clock, rules),
        ..store
    });
    if random.bool() {
        let local = Some(it.limiters[0].local.clone());
        it.add(&Setup { local, ..setup });
    }
    let steps = random.u32(10..300);
    let mut submitted = HashMap::new();
    let mut in_call = 0_u64;
    for slot in 0..steps {
        let at = random.usize(..it.limiters.len());
        for n in 0..1 << random.u32(..7) {
            let ops = [
                Op::Check,
                Op::Check,
                Op::Check,
                Op::Limit,
                Op::Status,
                Op::Reset,
            ];
            let op = ops[random.usize(..ops.len())];
            let who = random.u32(..1 + steps / 4).to_string();
            let slot = slot << 8 | n;
            let asked = request(op, &who, 1 + random.u32(..5));
            match it.submit_to(at, asked, slot) {
                Some(_) => in_call += 1,
                None => assert!(submitted.insert((at, slot), it.elapsed()).is_none()),
            }
        }
        match random.u32(..40) {
            0 => it.stop(Duration::from_millis(random.u64(..2000))),
            1 => it.set_map(ShardMap::split(random.u16(1..4))),
            2 => it.connect(random.usize(..4)),
            3 => {
                let flushes = it.flush(u32::MAX - slot);
                let known = it.limiters[0].flushed.contains(&(u32::MAX - slot));
                assert!(!known || flushes);
            }
            4 => it.ask_again(),
            _ => {
                let magnitude = random.u32(4..18);
                it.run(Duration::from_micros(random.u64(..1 << magnitude)));
            }
        }
        it.run(Duration::ZERO);
        check(&mut it, &mut submitted);
    }
    match random.u32(..4) {
        0 => it.abort(),
        1 => it.close(),
        _ => {
            // Without new requests it becomes quiet, and nothing is left.
            (it.store.failing, it.store.silent, it.store.slowest) = (0, 0, 10);
            it.run(Duration::from_secs(3600));
            check(&mut it, &mut submitted);
            let asked = it.ask(Op::Status, "1", 3).unwrap();
            assert_eq!(asked.source.name(), "redis");
            for limiter in &it.limiters {
                assert!(limiter.local.journal.is_empty(|_| true));
                assert_eq!(limiter.metrics.snapshot().in_flight, 0);
            }
            it.close();
        }
    }
    it.run(Duration::from_secs(3600));
    check(&mut it, &mut submitted);
    assert!(submitted.is_empty(), "{submitted:?}");
    assert!(it.limiters[0].remote.is_closed());
    let snapshot = it.metrics().snapshot();
    assert!(!snapshot.away && snapshot.in_flight == 0);
    in_call + snapshot.allowed[0] + snapshot.denied[0]
}

/// Each answer is the first to its request. (The moments of answers are checked where the process was not stopped.)
fn check(it: &mut Simulation<RandomStore>, submitted: &mut HashMap<(usize, u32), Duration>) {
    for at in 0..it.limiters.len() {
        let limiter = &mut it.limiters[at];
        for (slot, _) in limiter.answers.drain(..) {
            if slot > 0 || submitted.contains_key(&(at, 0)) {
                assert!(submitted.remove(&(at, slot)).is_some(), "{slot}");
            }
        }
        let open = submitted.keys().filter(|&&(of, _)| of == at).count();
        assert_eq!(limiter.open, open);
        // Counts of denials are in flight with requests.
        assert!(limiter.metrics.snapshot().in_flight >= open);
    }
    let now = it.elapsed();
    for (request, &since) in submitted.iter() {
        assert!(now - since <= DEADLINE, "{request:?}");
    }
}

/// Says which run has failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

#[test]
fn every_request_is_answered_once_and_in_time() {
    let soak = std::env::var("SOAK").map_or(1, |factor| factor.parse().unwrap());
    let answered: u64 = (0..100 * soak)
        .map(|seed| {
            let _seed = Seed(seed);
            run(seed)
        })
        .sum();
    assert!(answered > 10_000);
}
