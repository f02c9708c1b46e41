//! Modelled stores that misbehave.

use std::sync::Arc;
use std::time::Duration;

use huntaze_rate_limit::quota::{AnomalyStatus, Decision, ManualClock, Outcome, Rules, Verdict};
use huntaze_rate_limit::store::{
    ErrorKind, MAX_MEMORY_IDS, MemoryStore, Op, Replay, Request, StoreError,
};

use super::simulation::{FakeStore, ReplayReply, Reply};

/// Decides by the pure log, and logs the batches when they arrive.
pub struct Logged {
    pub memory: MemoryStore<Arc<ManualClock>>,
    rules: Rules,
    pub batches: Vec<Vec<Op>>,
    /// How long it takes to answer.
    pub delay: Duration,
    /// It refuses everything.
    pub away: bool,
}

impl Logged {
    pub fn new(clock: Arc<ManualClock>, rules: Rules) -> Self {
        Self {
            memory: MemoryStore::with_clock(clock, MAX_MEMORY_IDS),
            rules,
            batches: Vec::new(),
            delay: Duration::ZERO,
            away: false,
        }
    }

    pub fn ops(&self) -> Vec<Op> {
        self.batches.concat()
    }
}

impl FakeStore for Logged {
    fn on_batch(&mut self, requests: &[Request], _: usize) -> Reply {
        let ops = requests.iter().map(|request| request.op);
        self.batches.push(ops.collect());
        Reply::After(self.delay)
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        if self.away {
            return vec![Err(StoreError::new(ErrorKind::Refused, "away")); requests.len()];
        }
        let answer = |request| Ok(self.memory.answer(self.rules, request));
        requests.iter().map(answer).collect()
    }

    fn on_probe(&mut self, _: usize) -> Option<Result<(), StoreError>> {
        let away = StoreError::new(ErrorKind::Refused, "away");
        Some(if self.away { Err(away) } else { Ok(()) })
    }
}

/// Never answers.
pub struct Silent;

impl FakeStore for Silent {
    fn on_batch(&mut self, _: &[Request], _: usize) -> Reply {
        Reply::Never
    }

    fn decide(&mut self, _: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        unreachable!("it never answers")
    }

    fn on_probe(&mut self, _: usize) -> Option<Result<(), StoreError>> {
        None
    }

    fn on_replay(&mut self, _: &[Replay], _: usize) -> ReplayReply {
        ReplayReply::Never
    }
}

/// Ends each call without an answer.
pub struct Unanswering;

impl FakeStore for Unanswering {
    fn on_batch(&mut self, _: &[Request], _: usize) -> Reply {
        Reply::Ends(Duration::ZERO)
    }

    fn decide(&mut self, _: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        unreachable!("it never answers")
    }
}

/// Always fails.
pub struct Failing(pub ErrorKind);

impl FakeStore for Failing {
    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        vec![Err(StoreError::new(self.0, "away")); requests.len()]
    }
}

/// Admits every request after a while, and keeps the batches.
#[derive(Default)]
pub struct Recording {
    pub delay: Duration,
    pub batches: Vec<Vec<Request>>,
}

impl Recording {
    pub fn late(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }
}

impl FakeStore for Recording {
    fn on_batch(&mut self, requests: &[Request], _: usize) -> Reply {
        self.batches.push(requests.to_vec());
        Reply::After(self.delay)
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        allowed(requests)
    }
}

/// A store that can be taken away, and the calls that reached it.
#[derive(Default)]
pub struct FlakyStore {
    pub away: bool,
    /// No memory left for a replay.
    pub full: bool,
    /// It enters replays, and its reply is lost.
    pub loses_replies: bool,
    /// Does not answer replays, until the simulation asks again.
    pub held: bool,
    /// Nothing leaves the process.
    pub unreachable: bool,
    pub replaying: usize,
    pub sent: usize,
    pub probes: usize,
    pub replays: Vec<Replay>,
}

impl FlakyStore {
    /// What has been replayed: the id, and how many admissions.
    pub fn replayed(&self) -> Vec<(String, usize)> {
        let replays = self.replays.iter();
        let replayed = replays.map(|r| (r.id.as_str().to_owned(), r.ages.len()));
        replayed.collect()
    }

    pub fn available(&self) -> Result<(), StoreError> {
        match self.away {
            true => Err(StoreError::new(ErrorKind::Refused, "away")),
            false => Ok(()),
        }
    }
}

impl FakeStore for FlakyStore {
    fn on_batch(&mut self, _: &[Request], _: usize) -> Reply {
        self.sent += 1;
        Reply::After(Duration::ZERO)
    }

    fn decide(&mut self, requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
        match self.available() {
            Err(error) => vec![Err(error); requests.len()],
            Ok(()) => allowed(requests),
        }
    }

    fn can_send(&mut self) -> bool {
        !self.unreachable
    }

    fn on_probe(&mut self, _: usize) -> Option<Result<(), StoreError>> {
        self.probes += 1;
        Some(self.available())
    }

    fn on_replay(&mut self, replays: &[Replay], _: usize) -> ReplayReply {
        if self.unreachable {
            return ReplayReply::Never;
        }
        self.replaying += 1;
        if self.held {
            return ReplayReply::Never;
        }
        let all = |result| ReplayReply::All(vec![result; replays.len()]);
        if let Err(error) = self.available() {
            return all(Err(error));
        }
        if self.full {
            return all(Err(StoreError::new(ErrorKind::Oom, "full")));
        }
        self.replays.extend_from_slice(replays);
        if self.loses_replies {
            let lost = StoreError::new(ErrorKind::Disconnected, "gone before it answered");
            return all(Err(lost));
        }
        all(Ok(()))
    }
}

/// Admits every request. `reset` is the number of the id, which distinguishes an answer from its neighbours'.
pub fn allowed(requests: &[Request]) -> Vec<Result<Outcome, StoreError>> {
    let outcome = |request: &Request| Outcome {
        decision: Decision {
            verdict: Verdict::Allowed,
            remaining: request.limit.get(),
            reset: request.id.as_str().parse().unwrap(),
            reset_after: 0,
        },
        anomaly_status: AnomalyStatus::None,
    };
    requests
        .iter()
        .map(|request| Ok(outcome(request)))
        .collect()
}
