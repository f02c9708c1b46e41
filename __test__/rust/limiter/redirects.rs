//! Requests that one shard has redirected to another, which does not answer: they complete in time all the same.

use std::time::Duration;

use huntaze_rate_limit::limiter::{OnStoreError, Source};
use huntaze_rate_limit::quota::Outcome;
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, StoreError};

use super::fake_stores::allowed;
use super::outage::{DEADLINE, RECOVERED};
use super::simulation::{FakeStore, ReplayReply, Reply, Setup, Simulation};
use crate::requests::request;

/// Requests and replays of id 0 are redirected, and hang at the other shard.
#[derive(Default)]
struct Redirecting {
    replayed: Vec<String>,
    away: bool,
}

impl Redirecting {
    fn available(&self) -> Result<(), StoreError> {
        match self.away {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl FakeStore for Redirecting {
    fn on_batch(&mut self, requests: &[Request], _: usize) -> Reply {
        let redirects = requests.iter().any(|request| request.id.as_str() == "0");
        match redirects && !self.away {
            true => Reply::Parts(vec![(Duration::ZERO, Vec::new())]),
            false => Reply::After(Duration::ZERO),
        }
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        match self.available() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => allowed(requests),
        }
    }

    fn on_probe(&mut self, _: usize) -> Option<Result<(), StoreError>> {
        Some(self.available())
    }

    fn on_replay(&mut self, replays: &[Replay], _: usize) -> ReplayReply {
        if let Err(error) = self.available() {
            return ReplayReply::All(vec![Err(error); replays.len()]);
        }
        let who = replays.iter().map(|replay| replay.id.as_str().to_owned());
        self.replayed.extend(who);
        let here = |&at: &usize| replays[at].id.as_str() != "0";
        ReplayReply::Some((0..replays.len()).filter(here).collect())
    }
}

fn redirecting(policy: OnStoreError) -> Simulation<Redirecting> {
    Setup::new(policy, DEADLINE).over(Redirecting::default())
}

/// The shard is idle again for the next request, which leaves in the caller's call as well.
#[test]
fn an_eager_request_completes_in_time_whatever_leaves_after_it() {
    let mut it = redirecting(OnStoreError::Throw);
    for round in 0..5 {
        let begun = it.elapsed();
        assert!(it.submit(request(Op::Check, "0", 5), 0).is_none());
        it.run(Duration::ZERO);
        for request_id in 1..4 {
            assert!(it.submit(request(Op::Check, "1", 5), request_id).is_none());
            let (answered, answer) = it.recv();
            assert_eq!(
                (answered, answer.unwrap().source),
                (request_id, Source::Redis)
            );
        }
        assert_eq!(it.elapsed(), begun, "round {round}");
        let (answered, answer) = it.recv();
        let kind = answer.unwrap_err().kind();
        assert_eq!((answered, kind), (0, ErrorKind::Timeout), "round {round}");
        assert_eq!(it.elapsed() - begun, DEADLINE, "round {round}");
    }
}

/// What is late after a reply of the shard is late because of another one.
#[test]
fn a_shard_that_redirects_is_not_blamed_for_the_other() {
    let mut it = redirecting(OnStoreError::Open);
    for _ in 0..20 {
        let answer = it.ask(Op::Check, "0", 5).unwrap();
        assert_eq!(answer.source, Source::Open);
    }
    assert_eq!(it.limiters[0].changes, []);
    assert_eq!(it.metrics().snapshot().openings, 0);
}

/// The shard was away. During its replay a slot moves from it to a shard that hangs.
#[test]
fn entries_that_one_shard_has_taken_do_not_wait_for_another() {
    let mut it = redirecting(OnStoreError::Local);
    let check = |it: &mut Simulation<_>, who| it.ask(Op::Check, who, 5).unwrap().source;
    it.store.away = true;
    for who in ["1", "0", "2", "3"] {
        assert_eq!(check(&mut it, who), Source::Local);
    }
    it.store.away = false;
    let begun = it.elapsed();
    while check(&mut it, "1") != Source::Redis {
        assert!(it.elapsed() - begun < RECOVERED);
        it.run(Duration::from_millis(10));
    }
    let replayed = &it.store.replayed;
    let times = |who: &str| replayed.iter().filter(|id| *id == who).count();
    // A replay without a reply is sent once more, and not again.
    assert_eq!(
        (times("2"), times("3"), times("0")),
        (1, 1, 2),
        "{replayed:?}"
    );
}
