//! Script calls: their items go to the servers of their slots, redirects are followed, and no call is sent again that may
//! have been executed.
//!
//! A call is split into parts, one for each server, and a part into groups, one script call for each slot. All groups of a part
//! travel in one round trip. On a single Redis a call is one part of one group.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use super::connection::Expected;
use super::part::{Answered, Part, add};
use super::time::Moment;
use super::{CallId, ConnectionId, Deployment, Engine, LimiterId, LinkId, PartId, ServerId};
use crate::limiter::BatchId;
use crate::planted::planted;
use crate::quota::Outcome;
use crate::store::redis::cluster;
use crate::store::redis::script::{ScriptRef, Tag, check, replay};
use crate::store::{ErrorKind, Replay, Request, Scope, StoreError};

/// What a call is for.
#[derive(Debug, Clone)]
pub enum Work {
    /// Decides requests.
    Checks(Arc<[Request]>),
    /// Enters decisions that were made while the store was away.
    Replays(Arc<[Replay]>),
    /// Resets a key that no id has, which a server refuses that takes no writes.
    Probe(Box<str>),
}

/// Results of some of a call's items, in the order of their indices.
#[derive(Debug, Clone)]
pub enum Results {
    /// Of requests.
    Checks(Vec<Result<Outcome, StoreError>>),
    /// Of replays.
    Replays(Vec<Result<(), StoreError>>),
    /// Of a probe.
    Probe(Result<(), StoreError>),
}

/// Results of a call.
#[derive(Debug, Clone)]
pub struct CallResults {
    /// The call.
    pub call: CallId,
    /// The items that have a result. Empty: a server has replied, if only with a redirect.
    pub indices: Vec<usize>,
    /// A result for each of these.
    pub results: Results,
    /// Every item has had its result.
    pub is_last: bool,
}

/// Who made a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// A caller of the engine.
    Caller,
    /// A limiter, for one of its batches.
    Limiter(LimiterId, BatchId),
}

/// A call that has not been answered completely.
pub(super) struct Call {
    pub(super) owner: Owner,
    pub(super) scope: Arc<Scope>,
    pub(super) work: Work,
    /// The items by slot, and in each slot in the order of the call: the slot and the index. On a single Redis in the order of the
    /// call, without slots.
    pub(super) order: Vec<(u16, usize)>,
    pub(super) parts: Vec<PartId>,
    /// It was sent to the nodes of a cluster.
    pub(super) split: bool,
    /// It was sent to a single server which turned out to be part of a cluster.
    pub(super) rediscovered: bool,
}

impl Work {
    fn len(&self) -> usize {
        match self {
            Work::Checks(requests) => requests.len(),
            Work::Replays(replays) => replays.len(),
            Work::Probe(_) => 1,
        }
    }

    fn slot(&self, index: usize, scope: &Scope) -> u16 {
        match self {
            Work::Checks(requests) => cluster::slot_of(scope, &requests[index].id),
            Work::Replays(replays) => cluster::slot_of(scope, &replays[index].id),
            Work::Probe(key) => cluster::slot_of_key(key),
        }
    }

    pub(super) fn no_results(&self) -> Results {
        match self {
            Work::Checks(_) => Results::Checks(Vec::new()),
            Work::Replays(_) => Results::Replays(Vec::new()),
            Work::Probe(_) => Results::Probe(Err(no_route())),
        }
    }
}

impl Results {
    pub(super) fn errors(&self, mut each: impl FnMut(&StoreError) -> bool) -> Option<StoreError> {
        match self {
            Results::Checks(results) => results
                .iter()
                .filter_map(|result| result.as_ref().err())
                .find(|error| each(error))
                .cloned(),
            Results::Replays(results) => results
                .iter()
                .filter_map(|result| result.as_ref().err())
                .find(|error| each(error))
                .cloned(),
            Results::Probe(result) => result.as_ref().err().filter(|error| each(error)).cloned(),
        }
    }

    pub(super) fn push_error(&mut self, error: &StoreError) {
        match self {
            Results::Checks(results) => results.push(Err(error.clone())),
            Results::Replays(results) => results.push(Err(error.clone())),
            Results::Probe(result) => *result = Err(error.clone()),
        }
    }

    pub(super) fn append(&mut self, more: Results) {
        match (self, more) {
            (Results::Checks(results), Results::Checks(more)) => results.extend(more),
            (Results::Replays(results), Results::Replays(more)) => results.extend(more),
            (Results::Probe(result), Results::Probe(more)) => *result = more,
            _ => {}
        }
    }
}

impl Call {
    /// Appends the script call for the group `range`.
    pub(super) fn encode(&self, out: &mut Vec<u8>, by: ScriptRef, tag: Tag, range: Range<usize>) {
        let order = &self.order[range];
        match &self.work {
            Work::Checks(requests) => {
                let items = order.iter().map(|&(_, index)| &requests[index]);
                check::encode(out, by, tag, &self.scope, items);
            }
            Work::Replays(replays) => {
                let items = order.iter().map(|&(_, index)| &replays[index]);
                replay::encode(out, by, tag, &self.scope, items);
            }
            Work::Probe(key) => check::encode_reset(out, by, tag, self.scope.rules, key),
        }
    }

    /// Reads the reply to the script call for the group `range`.
    pub(super) fn decode(
        &self,
        reply: &[u8],
        tag: Tag,
        range: Range<usize>,
    ) -> Result<Results, StoreError> {
        let order = &self.order[range];
        let window = self.scope.rules.window;
        match &self.work {
            Work::Checks(requests) => {
                let limits = order.iter().map(|&(_, index)| requests[index].limit);
                check::decode(reply, tag, window, limits).map(Results::Checks)
            }
            Work::Replays(_) => replay::decode(reply, tag, order.len()).map(Results::Replays),
            Work::Probe(_) => {
                let limits = [check::PROBE_LIMIT].into_iter();
                let mut results = check::decode(reply, tag, window, limits)?;
                Ok(Results::Probe(results.swap_remove(0).map(drop)))
            }
        }
    }
}

impl Engine {
    /// Calls a script for `work`. The results follow, each once, unless the call is abandoned.
    pub fn call(&mut self, scope: Arc<Scope>, work: Work, now: Moment) -> CallId {
        let id = self.new_id();
        self.begin_call(id, Owner::Caller, scope, work, now);
        self.settle(now);
        id
    }

    /// Begins the call `id`.
    pub(super) fn begin_call(
        &mut self,
        id: CallId,
        owner: Owner,
        scope: Arc<Scope>,
        work: Work,
        now: Moment,
    ) {
        let call = Call {
            owner,
            scope,
            order: Vec::new(),
            parts: Vec::new(),
            split: false,
            rediscovered: false,
            work,
        };
        let is_empty = call.work.len() == 0;
        self.calls.insert(id, call);
        if is_empty {
            self.fail_call(id, &no_route());
        } else {
            self.dispatch(id, now);
        }
    }

    /// Nobody waits for the results of a call any more. It may be executed all the same.
    pub fn abandon(&mut self, id: CallId, now: Moment) {
        self.drop_call(id, now);
        self.settle(now);
    }

    pub(super) fn drop_call(&mut self, id: CallId, now: Moment) {
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        self.undiscovered.retain(|&waiting| waiting != id);
        if planted!(ResendAfterTimeout) {
            self.send_abandoned(&call);
        }
        if call.parts.is_empty() {
            self.discovery_given_up(now);
        }
        for part in call.parts {
            let Some(part) = self.parts.remove(&part) else {
                continue;
            };
            if let Some(connection) = part.connection {
                self.give_up_on(connection, now);
            }
        }
        // Another node may serve the slots by now.
        self.request_refresh(now);
    }

    /// A planted defect: sends an abandoned call once more.
    fn send_abandoned(&mut self, call: &Call) {
        for id in &call.parts {
            let Some(part) = self.parts.get(id) else {
                continue;
            };
            let Some(connection) = part.connection else {
                continue;
            };
            let Some(known) = self.connections.get_mut(&connection) else {
                continue;
            };
            for (group, range) in part.groups.iter().enumerate() {
                let tag = Tag::of(part.tag.wrapping_add(group));
                call.encode(&mut known.out, ScriptRef::Sha, tag, range.clone());
                let expected = Expected::Group {
                    part: *id,
                    group,
                    tag,
                };
                known.in_flight.push_back(expected);
            }
            self.wish_to_send(connection);
        }
    }

    /// Sends a call to the servers of its slots.
    pub(super) fn dispatch(&mut self, id: CallId, now: Moment) {
        match &mut self.deployment {
            Deployment::Unknown => {
                self.undiscovered.push(id);
                self.discover(now);
            }
            Deployment::Standalone => self.dispatch_to_server(id, now),
            Deployment::Cluster(_) => self.dispatch_to_cluster(id, now),
        }
    }

    fn dispatch_to_server(&mut self, id: CallId, now: Moment) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let count = call.work.len();
        call.order.clear();
        call.order.extend((0..count).map(|index| (0, index)));
        let all = iter::once(0..count).collect();
        let part = Part::new(id, self.seed, call.work.no_results(), all);
        let part = self.insert_part(part);
        self.send_to_server(part, now);
    }

    fn dispatch_to_cluster(&mut self, id: CallId, now: Moment) {
        self.cluster_used(now);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.split = true;
        let (work, scope) = (&call.work, &call.scope);
        call.order.clear();
        let slots = (0..work.len()).map(|index| (work.slot(index, scope), index));
        call.order.extend(slots);
        call.order.sort_unstable();
        let Deployment::Cluster(cluster) = &self.deployment else {
            return;
        };
        let servers = &self.servers;
        let is_away = |id: &ServerId| servers.get(id).is_none_or(super::server::Server::is_away);
        let mut parts: Vec<Part> = Vec::new();
        let mut unserved = Part::new(id, self.seed, work.no_results(), Vec::new());
        let mut end = 0;
        for group in call.order.chunk_by(|a, b| a.0 == b.0) {
            let range = end..end + group.len();
            end = range.end;
            match cluster.topology.nearest(group[0].0, is_away) {
                Some(server) => add(&mut parts, id, **server, false, range, work),
                None => unserved.groups.push(range),
            }
        }
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| self.insert_part(part))
            .collect();
        if !unserved.groups.is_empty() {
            let part = self.insert_part(unserved);
            self.fail_part(part, no_route(), now);
        }
        for part in parts {
            self.send_to_server(part, now);
        }
    }

    /// A single server redirects keys: it has become part of a cluster. Nothing was executed. The call is sent to the nodes,
    /// unless the configuration says that there are none.
    pub(super) fn server_is_clustered(&mut self, id: CallId, mut answered: Answered, now: Moment) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let again = self.config.cluster != Some(false) && !call.rediscovered;
        call.rediscovered = true;
        // The cluster may have been found since.
        if self.config.cluster != Some(false) && matches!(self.deployment, Deployment::Standalone) {
            self.deployment = Deployment::Unknown;
        }
        if again {
            return self.dispatch(id, now);
        }
        answered.indices.clear();
        answered.results = call.work.no_results();
        let all = call.order.clone();
        answered.add_error(&all, &unexpected_cluster());
        self.hand_out(id, answered);
    }

    /// Fails a call that has not been sent.
    pub(super) fn fail_call(&mut self, id: CallId, error: &StoreError) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut answered = Answered {
            indices: Vec::new(),
            results: call.work.no_results(),
        };
        let all: Vec<_> = (0..call.work.len()).map(|index| (0, index)).collect();
        answered.add_error(&all, error);
        self.hand_out(id, answered);
    }

    /// Hands out results of a call. They are the last ones if no part is left.
    pub(super) fn hand_out(&mut self, id: CallId, answered: Answered) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let owner = call.owner;
        let is_last = call.parts.is_empty();
        if is_last {
            self.calls.remove(&id);
        }
        let results = CallResults {
            call: id,
            indices: answered.indices,
            results: answered.results,
            is_last,
        };
        match owner {
            Owner::Caller => self.results.push_back(results),
            Owner::Limiter(limiter, batch) => {
                self.limiter_results.push_back((limiter, batch, results));
            }
        }
    }

    /// The link that uses a connection, or checks it.
    pub(super) fn link_of(&self, connection: ConnectionId) -> Option<LinkId> {
        let known = self.connections.get(&connection)?;
        Some(LinkId {
            server: known.server,
            at: known.link,
        })
    }
}

pub(super) fn no_route() -> StoreError {
    let message = "the cluster's nodes send the key from one to the other, or none of them is known to serve it";
    StoreError::new(ErrorKind::Cluster, message)
}

/// The server redirects keys although it is configured, or taken, as a single one.
fn unexpected_cluster() -> StoreError {
    let message = "the server is part of a Redis Cluster, and redis.cluster or the environment says that it is none, or the \
                   user may not ask for the slots (+cluster|slots)";
    StoreError::new(ErrorKind::Cluster, message)
}
