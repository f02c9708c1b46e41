//! Finds a shard again that was away, and replays what was decided without it: in that order, and before requests are sent, so
//! that an outage grants nobody a second quota.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::says_away;
use super::completer::{Completer, gone, late, left_out};
use super::completion::{Action, Context};
use super::journal::Claim;
use super::shard::Shard;
use crate::planted::planted;
use crate::store::StoreError;
use crate::store::budget::Budget;

/// Probes in a row that must succeed.
const PROBES: u32 = 2;

/// How long a probe may take if a check has less time: the deadline may be too short for any store.
const PROBE: Duration = Duration::from_millis(250);

/// How long one call of a replay may take, if a check has less time: it is larger, and may have to bring the script along.
const CALL: Duration = Duration::from_secs(1);

/// After a replay that failed while requests are answered: half to all of this, and twice as much each time.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is checked whether another limiter of the name has replayed everything.
const CLAIM_RETRY: Duration = Duration::from_millis(10);

/// The longest time for which requests wait for a replay. It takes some 30 us an id: everything in the logs of a process is
/// replayed in a few seconds. What is left then follows while requests are sent.
const REPLAY: Duration = Duration::from_secs(30);

/// The recovery of one shard: it ends when the shard decides and has every decision of this process.
pub(super) struct Recovery {
    step: Step,
    rounds: Rounds,
}

/// What lasts from one step to the next.
struct Rounds {
    /// Whether a new connection ends the delay before the next probe. Not with each: a server that accepts connections and does
    /// not decide is probed once a second.
    early: bool,
    /// The value of [`Shard::connections`] at the last probe.
    connections: u64,
    /// The next pause.
    pause: Duration,
    /// The shard has just taken a replay that was in flight when the breaker opened: over a new connection.
    taken: bool,
}

enum Step {
    /// The breaker is open, and the next probe is due at this moment.
    Delay(Instant),
    /// That many probes must still succeed, the one in flight included.
    Probe { call: Call, left: u32 },
    /// Another limiter of this name replays into these slots: they are claimed at this moment, unless it was faster.
    Claim(Replaying, Instant),
    /// A replay is in flight.
    Replay(Replaying, ReplayCall),
    /// The breaker is closed, and the next replay is due at this moment.
    Pause(Instant),
}

/// A script call in flight.
struct Call {
    number: u64,
    budget: Budget,
}

/// The calls of one replay.
struct Replaying {
    /// The breaker was open, and the probes have succeeded.
    probed: bool,
    begun: Instant,
    /// The shard has taken something.
    progress: bool,
}

/// One call of a replay.
struct ReplayCall {
    call: Call,
    claim: Claim,
    /// `None`: not answered.
    results: Vec<Option<Result<(), StoreError>>>,
    /// Those that have been sent. One without an answer may have been entered.
    sent: Vec<bool>,
}

impl ReplayCall {
    /// The claim, and a result each: `error` for replays without an answer.
    fn end(self, error: &StoreError) -> (Claim, Vec<Result<(), StoreError>>) {
        let unanswered = |sent: bool| match sent || planted!(UnsentInDoubt) {
            true => Err(error.clone()),
            false => Err(error.clone().unsent()),
        };
        let results = self.results.into_iter().zip(self.sent);
        let results = results.map(|(result, sent)| result.unwrap_or_else(|| unanswered(sent)));
        (self.claim, results.collect())
    }
}

/// How a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replayed {
    /// The store has everything that was decided here.
    All,
    /// The store does not take the rest for now.
    Some,
    /// The store is away.
    Nothing,
}

impl Recovery {
    /// When it has to be advanced.
    pub(super) fn timer(&self) -> Instant {
        match &self.step {
            Step::Delay(until) | Step::Pause(until) | Step::Claim(_, until) => *until,
            Step::Probe { call, .. } | Step::Replay(_, ReplayCall { call, .. }) => {
                call.budget.next()
            }
        }
    }

    /// Whether its step ends at `now`, after `connections`. An open breaker ends a pause.
    fn is_due(&mut self, now: Instant, connections: u64, is_open: bool) -> bool {
        let connected = self.rounds.early && self.rounds.connections != connections;
        match &mut self.step {
            Step::Delay(until) => connected || *until <= now,
            Step::Pause(until) => is_open || *until <= now,
            Step::Claim(_, until) => *until <= now,
            Step::Probe { call, .. } | Step::Replay(_, ReplayCall { call, .. }) => {
                call.budget.is_over(now)
            }
        }
    }

    /// The number of the call in flight, if one is.
    fn call(&self) -> Option<u64> {
        match &self.step {
            Step::Probe { call, .. } | Step::Replay(_, ReplayCall { call, .. }) => {
                Some(call.number)
            }
            Step::Delay(_) | Step::Claim(..) | Step::Pause(_) => None,
        }
    }
}

impl Rounds {
    fn with(self, step: Step) -> Option<Recovery> {
        Some(Recovery { step, rounds: self })
    }
}

/// Each step returns the recovery with its next one; `None`: the recovery is over.
impl Shard {
    /// Begins to probe a shard that is away, or to replay.
    pub(super) fn begin_recovery(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        let rounds = Rounds {
            early: true,
            connections: self.connections,
            pause: PAUSE,
            taken: false,
        };
        self.recovery = self.next_round(rounds, completer, cx);
        self.advance_recovery(completer, cx);
    }

    /// Does what is due, and sets the timer for what is not.
    pub(super) fn advance_recovery(&mut self, completer: &mut Completer, cx: &mut Context<'_>) {
        let is_open = |shard: &Self| shard.breaker.reason().is_some();
        loop {
            let (now, connections, is_open) = (cx.now, self.connections, is_open(self));
            let due = |recovery: &mut Recovery| recovery.is_due(now, connections, is_open);
            let Some(recovery) = self.recovery.take_if(due) else {
                break;
            };
            let Recovery { step, mut rounds } = recovery;
            self.recovery = match step {
                Step::Delay(_) => {
                    let connected = rounds.early && rounds.connections != connections;
                    rounds.early = !connected;
                    if connected {
                        self.breaker.reset_probe_delay();
                    }
                    self.begin_probes(rounds, cx)
                }
                Step::Probe { call, .. } => {
                    self.abandon(&call, cx);
                    self.on_probe_failed(rounds, late(), completer, cx)
                }
                Step::Claim(replaying, _) => self.replay(rounds, replaying, completer, cx),
                Step::Replay(replaying, replay) => {
                    self.abandon(&replay.call, cx);
                    self.on_replay_done(rounds, replaying, replay, false, completer, cx)
                }
                Step::Pause(_) => self.next_round(rounds, completer, cx),
            };
        }
        if let Some(recovery) = &self.recovery {
            self.set_timer(recovery.timer());
        }
    }

    /// Whether a recovery is in progress.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether this is the call of the recovery.
    pub(super) fn is_recovery_call(&self, number: u64) -> bool {
        self.recovery.as_ref().and_then(Recovery::call) == Some(number)
    }

    /// The probe `number` was answered.
    pub(super) fn on_probed(
        &mut self,
        number: u64,
        result: Result<(), StoreError>,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let is_it = |recovery: &mut Recovery| matches!(&recovery.step, Step::Probe { call, .. } if call.number == number);
        let Some(Recovery { step, rounds }) = self.recovery.take_if(is_it) else {
            return;
        };
        self.recovery = match (result, step) {
            (Err(error), _) => self.on_probe_failed(rounds, error, completer, cx),
            (Ok(()), Step::Probe { left, .. }) if left > 1 => self.probe(rounds, left - 1, cx),
            (Ok(()), _) => {
                if planted!(CloseBeforeReplay) {
                    self.breaker.close();
                    completer.on_closed(self.index, cx);
                }
                let replaying = Replaying {
                    probed: true,
                    begun: cx.now,
                    progress: false,
                };
                self.replay(rounds, replaying, completer, cx)
            }
        };
        self.advance_recovery(completer, cx);
    }

    /// Some replays of the call `number` were answered.
    pub(super) fn on_replayed(
        &mut self,
        number: u64,
        indices: &[usize],
        results: Vec<Result<(), StoreError>>,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let Some(recovery) = &mut self.recovery else {
            return;
        };
        let Step::Replay(_, replay) = &mut recovery.step else {
            return;
        };
        if replay.call.number != number {
            return;
        }
        for (&index, result) in indices.iter().zip(results) {
            if let Some(slot) = replay.results.get_mut(index) {
                *slot = Some(result);
            }
        }
        if replay.results.iter().all(Option::is_some) {
            self.on_call_finished(number, completer, cx);
        }
    }

    /// Replays of the call `number` are being sent.
    pub(super) fn on_replays_sent(&mut self, number: u64, indices: &[usize]) {
        if let Some(Recovery {
            step: Step::Replay(_, replay),
            ..
        }) = &mut self.recovery
            && replay.call.number == number
        {
            for &index in indices {
                if let Some(sent) = replay.sent.get_mut(index) {
                    *sent = true;
                }
            }
        }
    }

    /// No more results come for the call `number`.
    pub(super) fn on_call_finished(
        &mut self,
        number: u64,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) {
        let is_it = |recovery: &mut Recovery| recovery.call() == Some(number);
        let Some(Recovery { step, rounds }) = self.recovery.take_if(is_it) else {
            return;
        };
        self.recovery = match step {
            Step::Replay(replaying, replay) => {
                self.on_replay_done(rounds, replaying, replay, true, completer, cx)
            }
            // A probe without an answer.
            _ => self.on_probe_failed(rounds, left_out(), completer, cx),
        };
        self.advance_recovery(completer, cx);
    }

    /// Ends the recovery: the limiter is closed. A replay in flight may be entered.
    pub(super) fn end_recovery(&mut self, cx: &mut Context<'_>) {
        let Some(Recovery { step, .. }) = self.recovery.take() else {
            return;
        };
        match step {
            Step::Probe { call, .. } => self.abandon(&call, cx),
            Step::Replay(_, replay) => {
                self.abandon(&replay.call, cx);
                let (mut claim, results) = replay.end(&gone());
                claim.retain_unconfirmed(&results);
            }
            Step::Delay(_) | Step::Claim(..) | Step::Pause(_) => {}
        }
    }

    fn next_round(
        &mut self,
        mut rounds: Rounds,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<Recovery> {
        if self.breaker.reason().is_none() {
            let replaying = Replaying {
                probed: false,
                begun: cx.now,
                progress: false,
            };
            return self.replay(rounds, replaying, completer, cx);
        }
        let delay = self.breaker.probe_delay(cx.random.f64());
        if std::mem::take(&mut rounds.taken) {
            return self.begin_probes(rounds, cx);
        }
        rounds.with(Step::Delay(cx.now + delay))
    }

    fn begin_probes(&mut self, mut rounds: Rounds, cx: &mut Context<'_>) -> Option<Recovery> {
        rounds.connections = self.connections;
        self.breaker.probing(true);
        self.probe(rounds, PROBES, cx)
    }

    fn probe(&mut self, rounds: Rounds, left: u32, cx: &mut Context<'_>) -> Option<Recovery> {
        let batch = self.next_batch();
        let call = Call {
            number: batch.number,
            budget: Budget::new(self.deadline.max(PROBE), cx.now),
        };
        cx.out.actions.push(Action::Probe {
            batch,
            shard: self.index,
        });
        rounds.with(Step::Probe { call, left })
    }

    fn on_probe_failed(
        &mut self,
        rounds: Rounds,
        error: StoreError,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<Recovery> {
        // A shard that was only held until the replay is away from now on.
        completer.on_opened(self.index, &error, cx);
        self.breaker.on_probe_failure(error);
        self.next_round(rounds, completer, cx)
    }

    /// Sends the next call of a replay.
    fn replay(
        &mut self,
        rounds: Rounds,
        replaying: Replaying,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<Recovery> {
        if cx.now.saturating_duration_since(replaying.begun) >= REPLAY {
            return self.on_replayed_as(rounds, &replaying, Replayed::Some, completer, cx);
        }
        let (map, index) = (cx.map, self.index);
        let owns = |slot| map.shard_of(slot) == index;
        let local = completer.fallback.local();
        let Some(local) = local.filter(|local| !local.journal.is_empty(owns)) else {
            return self.on_replayed_as(rounds, &replaying, Replayed::All, completer, cx);
        };
        let Some(claim) = local.journal.claim(&local.logs, owns) else {
            return rounds.with(Step::Claim(replaying, cx.now + CLAIM_RETRY));
        };
        let batch = self.next_batch();
        let replays: Arc<[_]> = claim.replays().into();
        let call = Call {
            number: batch.number,
            budget: Budget::new(CALL.max(self.deadline * 2), cx.now),
        };
        let results = vec![None; replays.len()];
        cx.out.actions.push(Action::Replay {
            batch,
            replays,
            shard: self.index,
        });
        let replay = ReplayCall {
            call,
            claim,
            sent: vec![false; results.len()],
            results,
        };
        rounds.with(Step::Replay(replaying, replay))
    }

    /// A call of a replay has ended, `in_time` or at the end of its budget.
    fn on_replay_done(
        &mut self,
        rounds: Rounds,
        mut replaying: Replaying,
        replay: ReplayCall,
        in_time: bool,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<Recovery> {
        let (mut claim, results) = replay.end(&late());
        let all = results.iter().all(Result::is_ok);
        if results.iter().any(Result::is_ok) {
            replaying.progress = true;
            // With more admissions in the store, its retry times may be too early.
            self.deny_cache.invalidate_all(cx.now);
        }
        claim.retain_unconfirmed(&results);
        let rest = !claim.replays().is_empty();
        drop(claim);
        if results.iter().all(says_away) {
            return self.on_replayed_as(rounds, &replaying, Replayed::Nothing, completer, cx);
        }
        // What was late has been redirected to another shard, and is sent once more, with others that are nearer.
        if in_time && !all && rest {
            return self.on_replayed_as(rounds, &replaying, Replayed::Some, completer, cx);
        }
        self.replay(rounds, replaying, completer, cx)
    }

    /// A replay has ended.
    fn on_replayed_as(
        &mut self,
        mut rounds: Rounds,
        replaying: &Replaying,
        replayed: Replayed,
        completer: &mut Completer,
        cx: &mut Context<'_>,
    ) -> Option<Recovery> {
        let &Replaying {
            probed, progress, ..
        } = replaying;
        rounds.taken = progress && !probed;
        // Only after probes: the breaker may have opened meanwhile.
        if probed && replayed != Replayed::Nothing {
            self.breaker.close();
            completer.on_closed(self.index, cx);
        } else {
            self.breaker.probing(false);
            if probed {
                // The shard has answered the probes, and takes no replay: only another round can see it recover.
                self.breaker.reset_probe_delay();
            }
        }
        let is_open = self.breaker.reason().is_some();
        if replayed == Replayed::All && !(rounds.taken && is_open) {
            return None;
        }
        if progress {
            rounds.pause = PAUSE;
        }
        if is_open {
            return self.next_round(rounds, completer, cx);
        }
        let pause = rounds.pause.mul_f64(1.0 - cx.random.f64() / 2.0);
        rounds.pause = (rounds.pause * 2).min(LONGEST_PAUSE);
        rounds.with(Step::Pause(cx.now + pause))
    }

    fn abandon(&self, call: &Call, cx: &mut Context<'_>) {
        let batch = self.batch_id(call.number);
        cx.out.actions.push(Action::Abandon { batch });
    }
}
