//! The limiters of an engine: their actions become calls, and the results of these calls go back to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::call::{CallResults, Owner, Results, Work};
use super::deployment::Deployment;
use super::time::{Moment, fired};
use super::{CallId, Engine, LimiterId, ServerId, Timer};
use crate::limiter::{
    Action, BatchId, Completion, Context, Fallback, Output, Remote, RequestId, Times,
};
use crate::metrics::Metrics;
use crate::store::redis::cluster::{ShardMap, slot_of_key};
use crate::store::{Answer, Request, Scope};

/// A limiter, and its calls in flight.
pub(super) struct Limiter {
    pub(super) remote: Remote,
    pub(super) scope: Arc<Scope>,
    pub(super) calls: BTreeMap<BatchId, CallId>,
    pub(super) timer: Option<Instant>,
    /// It has been closed, and has requests that are not answered.
    pub(super) closing: bool,
}

/// What every limiter has to know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// There is a new connection to a server.
    Connected(ServerId),
    /// There is a new shard map. These shards have a new primary.
    Map,
}

impl Engine {
    /// Opens a limiter.
    pub fn open(
        &mut self,
        scope: Scope,
        times: Times,
        fallback: Fallback,
        metrics: Arc<Metrics>,
        now: Moment,
    ) -> LimiterId {
        let id = self.new_id();
        let mut out = Output::default();
        let mut context = Context {
            map: &self.map,
            now: now.steady,
            random: &mut self.random,
            out: &mut out,
        };
        let shared = Arc::new(scope.clone());
        let limiter = Limiter {
            remote: Remote::new(scope, times, fallback, metrics, &mut context),
            scope: shared,
            calls: BTreeMap::new(),
            timer: None,
            closing: false,
        };
        self.limiters.insert(id, limiter);
        self.perform(id, out, now);
        self.settle(now);
        id
    }

    /// Closes a limiter. No more requests come; those in flight are still answered.
    pub fn close(&mut self, id: LimiterId, now: Moment) {
        if let Some(limiter) = self.limiters.get_mut(&id)
            && !std::mem::replace(&mut limiter.closing, true)
        {
            self.closing += 1;
        }
        self.with_limiter(id, now, |remote, context| remote.close(context));
        self.settle(now);
    }

    /// Ends all limiters: every request in flight is answered at once.
    pub fn abort(&mut self, now: Moment) {
        let ids: Vec<_> = self.limiters.keys().copied().collect();
        for id in ids {
            self.with_limiter(id, now, |remote, context| remote.abort(context));
        }
        self.settle(now);
    }

    /// The next limiter that was closed and has answered all requests.
    pub fn next_closed_limiter(&mut self) -> Option<LimiterId> {
        self.closed_limiters.pop_front()
    }

    /// Whether closed limiters have requests that are not answered, or a connection test is in progress.
    pub fn is_busy(&self) -> bool {
        self.closing > 0 || !self.tests.is_empty()
    }

    /// Submits a request. It is answered in the call, which then returns the request and its answer, or by a completion.
    pub fn submit(
        &mut self,
        id: LimiterId,
        request: Request,
        request_id: RequestId,
        now: Moment,
    ) -> Option<(Request, Answer)> {
        let answer = self.with_limiter(id, now, |remote, context| {
            remote.submit(request, request_id, context)
        });
        self.settle(now);
        answer.flatten()
    }

    /// Sends the counts of denials that the deny cache has answered, and the pending replays. `true`: a completion follows when that
    /// is done. `false`: there is nothing to wait for.
    pub fn flush(&mut self, id: LimiterId, request_id: RequestId, now: Moment) -> bool {
        let waits = self.with_limiter(id, now, |remote, context| remote.flush(request_id, context));
        self.settle(now);
        waits.unwrap_or(false)
    }

    /// Takes the completions so far, each with its limiter, in order.
    pub fn completions(&mut self) -> impl Iterator<Item = (LimiterId, Completion)> {
        self.completions.drain(..)
    }

    /// The timer of a limiter.
    pub(super) fn on_limiter_timer(&mut self, id: LimiterId, now: Moment) {
        if let Some(limiter) = self.limiters.get_mut(&id) {
            fired(&mut limiter.timer, now.steady);
        }
        self.with_limiter(id, now, |remote, context| remote.advance(context));
    }

    fn with_limiter<R>(
        &mut self,
        id: LimiterId,
        now: Moment,
        act: impl FnOnce(&mut Remote, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let mut out = std::mem::take(&mut self.output);
        let limiter = self.limiters.get_mut(&id)?;
        let mut context = Context {
            map: &self.map,
            now: now.steady,
            random: &mut self.random,
            out: &mut out,
        };
        let result = act(&mut limiter.remote, &mut context);
        if out.actions.is_empty() && out.completions.is_empty() && !limiter.remote.is_closed() {
            // As for a repeated denial.
            self.output = out;
            if let Some(at) = limiter.remote.next_timer() {
                self.timers.set(&mut limiter.timer, at, Timer::Limiter(id));
            }
        } else {
            self.perform(id, out, now);
        }
        Some(result)
    }

    /// Carries out the actions of a limiter, keeps its completions, and sets its timer.
    fn perform(&mut self, id: LimiterId, mut out: Output, now: Moment) {
        let completions = out.completions.drain(..);
        self.completions.extend(completions.map(|each| (id, each)));
        for action in out.actions.drain(..) {
            match action {
                Action::Send {
                    batch, requests, ..
                } => self.call_for(id, batch, Work::Checks(requests), now),
                Action::Replay { batch, replays, .. } => {
                    self.call_for(id, batch, Work::Replays(replays), now);
                }
                Action::Probe { batch, shard } => self.probe(id, batch, shard, now),
                Action::Abandon { batch } => {
                    let limiter = self.limiters.get_mut(&id);
                    if let Some(call) = limiter.and_then(|limiter| limiter.calls.remove(&batch)) {
                        self.drop_call(call, now);
                    }
                }
            }
        }
        self.output = out;
        let Some(limiter) = self.limiters.get_mut(&id) else {
            return;
        };
        if limiter.remote.is_closed() {
            self.closing -= usize::from(limiter.closing);
            self.limiters.remove(&id);
            self.closed_limiters.push_back(id);
        } else if let Some(at) = limiter.remote.next_timer() {
            self.timers.set(&mut limiter.timer, at, Timer::Limiter(id));
        }
    }

    fn call_for(&mut self, id: LimiterId, batch: BatchId, work: Work, now: Moment) {
        let Some(limiter) = self.limiters.get(&id) else {
            return;
        };
        let scope = Arc::clone(&limiter.scope);
        let call = self.new_id();
        if let Some(limiter) = self.limiters.get_mut(&id) {
            limiter.calls.insert(batch, call);
        }
        self.begin_call(call, Owner::Limiter(id, batch), scope, work, now);
    }

    fn probe(&mut self, id: LimiterId, batch: BatchId, shard: usize, now: Moment) {
        let scope = self
            .limiters
            .get(&id)
            .map(|limiter| Arc::clone(&limiter.scope));
        match scope.and_then(|scope| self.probe_key(&scope, shard)) {
            Some(key) => self.call_for(id, batch, Work::Probe(key.into()), now),
            // A shard without slots gets no requests.
            None => self.skipped_probes.push((id, batch)),
        }
    }

    /// A key of a shard that no id has: in theirs, what follows the name holds no `#`. `None`: the shard has no slots.
    pub fn probe_key(&self, scope: &Scope, shard: usize) -> Option<String> {
        let key = |number: u32| format!("{{{}:#{number}}}", scope.name.as_str());
        let Deployment::Cluster(cluster) = &self.deployment else {
            return Some(key(0));
        };
        cluster.topology.shard(shard)?.node.as_ref()?;
        let of_shard = |key: &String| self.map.shard_of(slot_of_key(key)) == shard;
        // On average, one in 16,384 keys is in a shard of a single slot. Of this many keys, none is with a probability of e^-16.
        (0..16 * 16_384).map(key).find(of_shard)
    }

    /// The shard map.
    pub fn shard_map(&self) -> &ShardMap {
        &self.map
    }

    /// Hands results and changes to the limiters, until there are no more.
    pub(super) fn settle(&mut self, now: Moment) {
        loop {
            for (limiter, batch, indices) in self.sent_replays.drain(..) {
                if let Some(limiter) = self.limiters.get_mut(&limiter) {
                    limiter.remote.on_sent(batch, &indices);
                }
            }
            if let Some(change) = self.changes.pop_front() {
                self.on_change(change, now);
            } else if let Some((limiter, batch, results)) = self.limiter_results.pop_front() {
                self.on_limiter_results(limiter, batch, results, now);
            } else if let Some((limiter, batch)) = self.skipped_probes.pop() {
                self.with_limiter(limiter, now, |remote, context| {
                    remote.on_probed(batch, Ok(()), context);
                });
            } else {
                return;
            }
        }
    }

    fn on_limiter_results(
        &mut self,
        id: LimiterId,
        batch: BatchId,
        results: CallResults,
        now: Moment,
    ) {
        let CallResults {
            indices,
            results,
            is_last,
            ..
        } = results;
        if is_last && let Some(limiter) = self.limiters.get_mut(&id) {
            limiter.calls.remove(&batch);
        }
        self.with_limiter(id, now, |remote, context| match results {
            Results::Checks(results) => remote.on_results(batch, &indices, results, context),
            Results::Replays(results) => remote.on_replayed(batch, &indices, results, context),
            Results::Probe(result) if !indices.is_empty() => {
                remote.on_probed(batch, result, context);
            }
            // A redirect.
            Results::Probe(_) => {}
        });
    }

    fn on_change(&mut self, change: Change, now: Moment) {
        let ids: Vec<_> = self.limiters.keys().copied().collect();
        let shards = match change {
            Change::Connected(server) => self.shards_of(server),
            Change::Map => self.take_new_primaries(),
        };
        for id in ids {
            self.with_limiter(id, now, |remote, context| {
                if let Change::Map = change {
                    remote.on_map_changed(context);
                }
                for &shard in &shards {
                    remote.on_connected(shard, context);
                }
            });
        }
    }

    /// The shards whose primary a server is.
    fn shards_of(&self, server: ServerId) -> Vec<usize> {
        let Deployment::Cluster(cluster) = &self.deployment else {
            let is_seed = server == self.seed;
            return is_seed.then_some(0).into_iter().collect();
        };
        let shards = (0..self.map.shards()).filter(|&shard| {
            let node = cluster.topology.shard(shard).and_then(|s| s.node.as_ref());
            node.is_some_and(|node| **node == server)
        });
        shards.collect()
    }

    /// The shards that have had another primary since the last call.
    fn take_new_primaries(&mut self) -> Vec<usize> {
        let Deployment::Cluster(cluster) = &self.deployment else {
            self.generations.clear();
            return Vec::new();
        };
        let generations: Vec<_> = (0..self.map.shards())
            .map(|shard| cluster.topology.shard(shard).map_or(0, |s| s.generation))
            .collect();
        let before = std::mem::replace(&mut self.generations, generations);
        let now = self.generations.iter().enumerate();
        let new = now.filter(|&(shard, generation)| before.get(shard) != Some(generation));
        new.map(|(shard, _)| shard).collect()
    }
}
