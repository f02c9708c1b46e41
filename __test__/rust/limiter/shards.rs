//! A store of several shards: one that fails does not delay the others.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Remote, Source, StoreChange};
use huntaze_rate_limit::quota::{Id, Namespace, Outcome};
use huntaze_rate_limit::store::redis::cluster::ShardMap;
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, StoreError};

use super::fake_stores::FlakyStore;
use super::outage::{DEADLINE, RECOVERED};
use super::simulation::{FakeStore, ReplayReply, Reply, Setup, Simulation};
use crate::requests::request;

/// The shard of an id: that of its parity.
pub fn parity_of(id: &Id) -> usize {
    id.as_str().parse::<usize>().unwrap() % 2
}

/// Ids of even numbers up to 9 are in the first shard, odd ones in the second.
pub fn parity_map() -> ShardMap {
    let mut shards = vec![0; 1 << 14];
    let name = Namespace::new("t").unwrap();
    for number in 0..10_u16 {
        let id = Id::new(number.to_string()).unwrap();
        shards[usize::from(ShardMap::slot_of(&name, &id))] = number % 2;
    }
    let map = ShardMap::new(
        shards.into(),
        (0..2).map(|n| Some(format!("shard-{n}:6379"))).collect(),
    );
    for number in 0..10 {
        let id = Id::new(number.to_string()).unwrap();
        assert_eq!(map.shard_of_id(&name, &id), parity_of(&id), "slots collide");
    }
    map
}

/// Each shard can be away by itself.
#[derive(Default)]
struct TwoShards {
    shards: [FlakyStore; 2],
    /// The first shard hangs, where a batch asks both.
    hangs: bool,
}

impl FakeStore for TwoShards {
    fn on_batch(&mut self, requests: &[Request], _: usize) -> Reply {
        let of = |shard| {
            let all = requests.iter().enumerate();
            let here = all.filter(move |(_, request)| parity_of(&request.id) == shard);
            here.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let mut parts = Vec::new();
        for shard in [1, 0] {
            let indices = of(shard);
            self.shards[shard].sent += indices.len();
            let hangs = shard == 0 && self.hangs && indices.len() < requests.len();
            if !indices.is_empty() && !hangs {
                parts.push((Duration::ZERO, indices));
            }
        }
        Reply::Parts(parts)
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        let decide = |request: &Request| {
            let shard = &mut self.shards[parity_of(&request.id)];
            shard.decide(std::slice::from_ref(request))
        };
        requests.iter().flat_map(decide).collect()
    }

    fn on_probe(&mut self, shard: usize) -> Option<Result<(), StoreError>> {
        self.shards[shard].on_probe(shard)
    }

    fn on_replay(&mut self, replays: &[Replay], _: usize) -> ReplayReply {
        let mut all = Vec::new();
        for replay in replays {
            let shard = parity_of(&replay.id);
            match self.shards[shard].on_replay(std::slice::from_ref(replay), shard) {
                ReplayReply::All(results) => all.extend(results),
                ReplayReply::Some(_) | ReplayReply::Never => unreachable!("it always answers"),
            }
        }
        ReplayReply::All(all)
    }
}

fn two_shards(map: ShardMap) -> Simulation<TwoShards> {
    let setup = Setup {
        map,
        ..Setup::new(OnStoreError::Local, DEADLINE)
    };
    setup.over(TwoShards::default())
}

impl Simulation<TwoShards> {
    fn who_decides(&mut self, op: Op, who: &str) -> Result<Source, ErrorKind> {
        let answer = self.ask(op, who, 5);
        answer.map(|a| a.source).map_err(|e| e.kind())
    }

    /// Asks for the status of `who` until the store answers.
    fn until_back(&mut self, who: &str) {
        let begun = self.elapsed();
        while self.who_decides(Op::Status, who) != Ok(Source::Redis) {
            assert!(self.elapsed() - begun < RECOVERED);
            self.run(Duration::from_millis(10));
        }
    }

    fn set_away(&mut self, away: bool) {
        for shard in &mut self.store.shards {
            shard.away = away;
        }
    }

    fn replayed(&self, shard: usize) -> Vec<(String, usize)> {
        self.store.shards[shard].replayed()
    }
}

#[test]
fn a_shard_that_is_away_opens_its_own_breaker_only() {
    let mut it = two_shards(parity_map());
    it.store.shards[0].away = true;
    for _ in 0..3 {
        assert_eq!(it.who_decides(Op::Check, "0"), Ok(Source::Local));
        assert_eq!(it.who_decides(Op::Check, "1"), Ok(Source::Redis));
    }
    let sent = it.store.shards.each_ref().map(|shard| shard.sent);
    for _ in 0..20 {
        assert_eq!(it.who_decides(Op::Status, "0"), Ok(Source::Local));
        assert_eq!(it.who_decides(Op::Status, "1"), Ok(Source::Redis));
    }
    let since = it.store.shards.each_ref().map(|shard| shard.sent);
    assert_eq!([since[0] - sent[0], since[1] - sent[1]], [0, 20]);
    it.store.shards[0].away = false;
    it.until_back("0");
    // Only the shard that had been away was probed.
    let probes = it.store.shards.each_ref().map(|shard| shard.probes);
    assert_eq!((probes[0] > 0, probes[1]), (true, 0));
}

/// Both shards have pending replays, and the one that is back gets its own.
#[test]
fn local_decisions_are_replayed_to_each_shard_by_itself() {
    let mut it = two_shards(parity_map());
    it.set_away(true);
    for who in ["0", "1", "0", "1", "0", "1", "1"] {
        assert_eq!(it.who_decides(Op::Check, who), Ok(Source::Local));
    }
    it.store.shards[1].away = false;
    it.until_back("1");
    assert_eq!(it.replayed(1), [("1".to_owned(), 4)]);
    assert_eq!(it.who_decides(Op::Status, "0"), Ok(Source::Local));
    assert_eq!(it.replayed(0), []);
    it.store.shards[0].away = false;
    it.until_back("0");
    assert_eq!(it.replayed(0), [("0".to_owned(), 3)]);
}

/// Both shards have pending replays, and do not take them yet.
#[test]
fn a_flush_waits_for_every_shard_and_completes_once() {
    let mut it = two_shards(parity_map());
    for shard in &mut it.store.shards {
        (shard.full, shard.away) = (true, true);
    }
    for who in ["0", "1"] {
        assert_eq!(it.who_decides(Op::Check, who), Ok(Source::Local));
    }
    it.set_away(false);
    for who in ["0", "1"] {
        assert_eq!(it.who_decides(Op::Check, who), Ok(Source::Redis));
    }
    assert!(it.flush(9));
    let begun = it.elapsed();
    it.until_flushed(9);
    // At the deadline: once for both.
    assert_eq!(it.elapsed() - begun, DEADLINE);
    it.run(2 * DEADLINE);
    assert_eq!(it.limiters[0].flushed, [9]);
    assert!(it.try_recv().is_none());
}

/// Only after the outage is the store known to have two shards: the second gets its replay before its first check.
#[test]
fn a_shard_that_is_found_later_gets_its_replay_before_a_check() {
    let mut it = two_shards(ShardMap::one(None));
    it.set_away(true);
    for who in ["0", "1", "1", "0", "1", "1", "1"] {
        assert_eq!(it.who_decides(Op::Check, who), Ok(Source::Local));
    }
    it.set_away(false);
    it.set_map(parity_map());
    let sent = it.store.shards[1].sent;
    it.until_back("1");
    assert_eq!(it.replayed(1), [("1".to_owned(), 5)]);
    assert_eq!(it.store.shards[1].sent, sent + 1);
    it.until_back("0");
    assert_eq!(it.replayed(0), [("0".to_owned(), 2)]);
}

/// The second shard gets its replay although no check comes.
#[test]
fn a_shard_that_is_found_later_gets_its_replay_without_a_check() {
    let mut it = two_shards(ShardMap::one(None));
    it.set_away(true);
    assert_eq!(it.who_decides(Op::Check, "1"), Ok(Source::Local));
    it.set_away(false);
    it.set_map(parity_map());
    it.run(RECOVERED);
    assert_eq!(it.replayed(1), [("1".to_owned(), 1)]);
}

/// The id moves from a shard that is away to one that is in use. That one does not decide before it has the admissions, and the other
/// is free of them.
#[test]
fn a_shard_that_takes_over_slots_gets_their_replay_before_a_check() {
    let mut it = two_shards(parity_map());
    assert_eq!(it.who_decides(Op::Status, "1"), Ok(Source::Redis));
    it.store.shards[0].away = true;
    for _ in 0..3 {
        assert_eq!(it.who_decides(Op::Check, "0"), Ok(Source::Local));
    }
    assert_eq!(it.who_decides(Op::Status, "1"), Ok(Source::Redis));
    it.store.shards[0].away = false;
    it.set_map(ShardMap::new(vec![1; 1 << 14].into(), vec![None; 2]));
    it.run(Duration::from_millis(1));
    assert_eq!(it.replayed(0), [("0".to_owned(), 3)]);
    assert_eq!(it.who_decides(Op::Check, "0"), Ok(Source::Redis));
    it.run(RECOVERED);
    assert_eq!(it.replayed(0), [("0".to_owned(), 3)]);
    assert!(matches!(
        it.limiters[0].changes[..],
        [StoreChange::Away { .. }, StoreChange::Back { .. }]
    ));
}

/// The request is in flight when its slot moves, and fails after that: the new shard gets the admission although no request comes.
#[test]
fn a_request_that_fails_after_its_slot_has_moved_is_replayed_to_the_new_shard() {
    let mut it = two_shards(ShardMap::one(None));
    it.set_away(true);
    assert!(it.submit(request(Op::Check, "1", 5), 0).is_none());
    it.set_map(parity_map());
    assert_eq!(it.recv().1.unwrap().source, Source::Local);
    it.set_away(false);
    it.run(RECOVERED);
    assert_eq!(it.replayed(1), [("1".to_owned(), 1)]);
}

/// Another limiter of the name has decided for a shard that this one has never used.
#[test]
fn a_flush_begins_the_replay_of_a_shard_that_was_not_used() {
    let mut it = two_shards(parity_map());
    let local = Some(it.limiters[0].local.clone());
    let other = it.add(&Setup {
        map: parity_map(),
        local,
        ..Setup::new(OnStoreError::Local, DEADLINE)
    });
    it.set_away(true);
    assert!(it.submit_to(other, request(Op::Check, "1", 5), 0).is_none());
    it.call(other, Remote::close);
    it.run(RECOVERED);
    assert!(it.limiters[other].remote.is_closed());
    it.set_away(false);
    it.run(RECOVERED);
    assert_eq!(it.replayed(1), []);
    it.flush(9);
    it.run(RECOVERED);
    assert_eq!(it.replayed(1), [("1".to_owned(), 1)]);
}

/// The batch was sent before the shards were known, and the other shard hangs.
#[test]
fn an_answered_request_waits_for_no_other_of_its_batch() {
    let mut it = two_shards(ShardMap::one(None));
    it.store.hangs = true;
    for round in 0..10 {
        let begun = it.elapsed();
        // The first leaves alone, and the others together after it.
        let asked = ["1", "0", "1", "1"];
        for (request_id, who) in (0..).zip(asked) {
            let request = request(Op::Check, who, 1000);
            assert!(it.submit(request, request_id).is_none());
        }
        let mut sources = Vec::new();
        for _ in asked {
            let (request_id, answer) = it.recv();
            sources.push((request_id, answer.unwrap().source));
            if request_id != 1 {
                assert_eq!(it.elapsed(), begun, "round {round}");
            }
        }
        sources.sort_by_key(|&(request_id, _)| request_id);
        let sources: Vec<_> = sources.into_iter().map(|(_, source)| source).collect();
        // The breaker stays closed: the store has answered each of the batches.
        let expected = [Source::Redis, Source::Local, Source::Redis, Source::Redis];
        assert_eq!(sources, expected, "round {round}");
    }
}

/// A batch that is answered in parts is one batch, and its latency is that of the first answer.
#[test]
fn a_batch_that_is_answered_in_parts_is_measured_once() {
    let mut it = two_shards(ShardMap::one(None));
    for (request_id, who) in (0..).zip(["1", "0", "1", "2", "3"]) {
        assert!(it.submit(request(Op::Check, who, 5), request_id).is_none());
    }
    it.run(Duration::from_millis(1));
    assert_eq!(it.limiters[0].open, 0);
    let snapshot = it.metrics().snapshot();
    assert_eq!(snapshot.batches.counts.iter().sum::<u64>(), 2);
    assert_eq!(snapshot.latency.counts.iter().sum::<u64>(), 2);
}
