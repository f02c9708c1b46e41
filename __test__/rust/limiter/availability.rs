//! When the store counts as away for a limiter, and when as back: the changes that its caller is told.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, StoreChange};
use huntaze_rate_limit::quota::Outcome;
use huntaze_rate_limit::store::{Op, Replay, Request, StoreError};

use super::fake_stores::FlakyStore;
use super::outage::{DEADLINE, RECOVERED};
use super::shards::{parity_map, parity_of};
use super::simulation::{FakeStore, ReplayReply, Setup, Simulation};
use crate::requests::request;

/// Two primaries, each with the ids of one parity.
#[derive(Default)]
struct Shards([FlakyStore; 2]);

impl FakeStore for Shards {
    fn on_batch(&mut self, requests: &[Request], shard: usize) -> super::simulation::Reply {
        self.0[shard].on_batch(requests, shard)
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        self.0[parity_of(&requests[0].id)].decide(requests)
    }

    fn on_probe(&mut self, shard: usize) -> Option<Result<(), StoreError>> {
        self.0[shard].on_probe(shard)
    }

    fn on_replay(&mut self, replays: &[Replay], shard: usize) -> ReplayReply {
        self.0[shard].on_replay(replays, shard)
    }
}

fn setup(policy: OnStoreError) -> Setup {
    Setup {
        map: parity_map(),
        ..Setup::new(policy, DEADLINE)
    }
}

impl Simulation<Shards> {
    /// Submits a request of `who`, and waits until it has been answered.
    fn once(&mut self, op: Op, who: &str) {
        let _ = self.submit(request(op, who, 5), 0);
        self.run(Duration::from_millis(1));
    }

    fn fail(&mut self, who: &str, times: usize) {
        self.store.0[who.parse::<usize>().unwrap() % 2].away = true;
        for _ in 0..times {
            self.once(Op::Check, who);
        }
    }

    fn until_changes(&mut self, count: usize) {
        let begun = self.elapsed();
        while self.limiters[0].changes.len() < count {
            assert!(self.elapsed() - begun < RECOVERED);
            self.run(Duration::from_millis(1));
        }
    }

    fn changes(&self) -> &[StoreChange] {
        &self.limiters[0].changes
    }
}

fn away(shard: usize) -> StoreChange {
    StoreChange::Away {
        code: "ECONNREFUSED",
        shard: Some(format!("shard-{shard}:6379")),
    }
}

#[test]
fn checks_that_fail_by_themselves_change_nothing() {
    let mut it = setup(OnStoreError::Local).over(Shards::default());
    for _ in 0..4 {
        it.fail("0", 2);
        it.store.0[0].away = false;
        it.once(Op::Check, "2");
    }
    assert_eq!(it.changes(), []);
    assert!(!it.metrics().snapshot().away);
}

#[test]
fn away_when_the_breaker_opens_and_back_when_it_closes_with_what_was_decided() {
    for policy in OnStoreError::ALL {
        let mut it = setup(policy).over(Shards::default());
        it.fail("0", 3);
        assert_eq!(it.changes(), [away(0)], "{policy:?}");
        let (begun, read) = (it.elapsed(), it.metrics().snapshot());
        assert_eq!((read.away, read.outages), (true, 1), "{policy:?}");
        it.fail("0", 20);
        // None of these is a check.
        it.once(Op::Status, "0");
        it.once(Op::Reset, "0");
        it.store.0[0].away = false;
        it.until_changes(2);
        let StoreChange::Back { lasted, decided } = it.changes()[1] else {
            panic!("{:?}", it.changes());
        };
        // The check that opened it, and those after it.
        assert_eq!(decided, 21, "{policy:?}");
        let since = it.elapsed() - begun;
        let difference = since.abs_diff(lasted);
        assert!(difference < Duration::from_millis(5), "{difference:?}");
        let read = it.metrics().snapshot();
        assert_eq!((read.away, read.outages), (false, 1), "{policy:?}");
        assert_eq!(read.away_time, lasted);
    }
}

#[test]
fn the_first_shard_to_go_and_the_last_to_return_change_the_state() {
    let mut it = setup(OnStoreError::Closed).over(Shards::default());
    it.fail("1", 3);
    it.fail("0", 3);
    it.store.0[1].away = false;
    while it.store.0[1].sent < 4 {
        it.once(Op::Check, "1");
    }
    assert_eq!(it.changes(), [away(1)]);
    it.store.0[0].away = false;
    it.until_changes(2);
    assert!(matches!(it.changes()[1], StoreChange::Back { .. }));
    it.fail("0", 3);
    assert_eq!(it.changes().len(), 3);
    assert_eq!(it.changes()[2], away(0));
}

#[test]
fn a_closed_limiter_reports_no_more_changes() {
    let mut it = setup(OnStoreError::Local).over(Shards::default());
    it.fail("0", 3);
    it.close();
    it.store.0[0].away = false;
    it.run(Duration::from_secs(60));
    assert_eq!(it.changes(), [away(0)]);
    assert!(!it.metrics().snapshot().away);
    assert!(it.limiters[0].remote.is_closed());
}

/// Another limiter of the name has decided without the store: this one has to replay first.
#[test]
fn a_store_with_pending_replays_is_away_only_if_it_does_not_answer() {
    for gone in [false, true] {
        let mut it = setup(OnStoreError::Local).over(Shards::default());
        it.fail("0", 3);
        it.store.0[0].away = gone;
        let local = Some(it.limiters[0].local.clone());
        let second = it.add(&Setup {
            local,
            ..setup(OnStoreError::Local)
        });
        it.run(Duration::from_secs(5));
        let expected = if gone { vec![away(0)] } else { Vec::new() };
        assert_eq!(it.limiters[second].changes, expected);
    }
}
