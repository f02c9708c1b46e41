//! Keeps the shard map up to date: reads it from the nodes periodically, and after signs of a change.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::deployment::Deployment;
use super::server::Server;
use super::time::{Moment, fired};
use super::{Engine, QueryId, ServerId, Timer};
use crate::planted::planted;
use crate::store::redis::cluster::topology::{Address, Slots};
use crate::store::redis::cluster::{ClusterInfo, SLOTS};

/// The period while the cluster is healthy: a shard that an operator adds is known without a redirect. Up to half is added, so
/// that processes that were started together spread their queries.
const PERIOD: Duration = Duration::from_secs(60);

/// The period while a slot has no node, or a node no connection: a replica is promoted within seconds. `CLUSTER SLOTS` takes a
/// node some 20 us in a cluster of a few shards: a thousand processes cost it 2 % of a core.
const UNHEALTHY_PERIOD: Duration = Duration::from_secs(1);

/// The least time between two refreshes: a slot that moves redirects many requests. A request for a refresh after a longer
/// pause is served at once.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// How long one node may take to reply: there are others.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// This many equal replies are enough; if fewer nodes reply, all replies have to agree. A single node may have been cut off
/// from the others or just been started, and reply with an outdated table.
const QUORUM: usize = 2;

/// The topology of a cluster that has not been used for this long is not refreshed.
const IDLE: Duration = Duration::from_secs(90);

/// A refresh in progress: asks one node after another until two replies agree on every slot.
pub(super) struct Poll {
    nodes: VecDeque<ServerId>,
    /// Asked if no node replies: if all primaries and the configured server are gone, their replicas have taken over or know
    /// the new primaries.
    replicas: VecDeque<Address>,
    /// Different replies, each with the number of nodes that sent it.
    votes: Vec<(Slots, usize)>,
    query: Option<QueryId>,
}

impl Engine {
    /// The cluster is in use.
    pub(super) fn cluster_used(&mut self, now: Moment) {
        if let Deployment::Cluster(cluster) = &mut self.deployment {
            cluster.used = now.steady;
        }
    }

    /// The topology may have changed.
    pub(super) fn request_refresh(&mut self, now: Moment) {
        if planted!(TrustStaleMap) {
            return;
        }
        if let Deployment::Cluster(cluster) = &mut self.deployment
            && !std::mem::replace(&mut cluster.requested, true)
            && cluster.poll.is_none()
        {
            let at = cluster.not_before.max(now.steady);
            self.timers.set(&mut self.refresh_timer, at, Timer::Refresh);
        }
    }

    /// Schedules the next periodic refresh.
    pub(super) fn schedule_refresh(&mut self, now: Moment) {
        let servers = &self.servers;
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        let is_away = |id: &Arc<ServerId>| servers.get(id).is_none_or(Server::is_away);
        let healthy = cluster.topology.is_complete() && !cluster.topology.nodes().any(is_away);
        let period = if healthy { PERIOD } else { UNHEALTHY_PERIOD };
        cluster.due = now.steady + with_jitter(period, &mut self.random);
        let at = match cluster.requested {
            true => cluster.not_before,
            false => cluster.due.max(cluster.not_before),
        };
        self.timers.set(&mut self.refresh_timer, at, Timer::Refresh);
    }

    /// The timer of the refresh.
    pub(super) fn on_refresh_timer(&mut self, now: Moment) {
        fired(&mut self.refresh_timer, now.steady);
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        if cluster.poll.is_some() {
            return;
        }
        let may_begin = now.steady >= cluster.not_before;
        let is_due = cluster.requested || now.steady >= cluster.due;
        if !(may_begin && is_due) {
            let wanted = if cluster.requested {
                now.steady
            } else {
                cluster.due
            };
            let at = wanted.max(cluster.not_before);
            return self.timers.set(&mut self.refresh_timer, at, Timer::Refresh);
        }
        let idle = now.steady.saturating_duration_since(cluster.used) > IDLE;
        if !cluster.requested && idle {
            return self.schedule_refresh(now);
        }
        cluster.requested = false;
        cluster.not_before = now.steady + with_jitter(MIN_INTERVAL, &mut self.random);
        self.begin_poll(now);
    }

    pub(super) fn begin_poll(&mut self, now: Moment) {
        let servers = &self.servers;
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        let mut nodes: Vec<_> = cluster.topology.nodes().map(|node| **node).collect();
        self.random.shuffle(&mut nodes);
        let is_away = |id: &ServerId| servers.get(id).is_none_or(Server::is_away);
        // Nodes that are away come last, after the configured name, whatever it resolves to by now.
        nodes.sort_by_key(is_away);
        let reachable = nodes.partition_point(|node| !is_away(node));
        if !nodes.contains(&self.seed) {
            nodes.insert(reachable, self.seed);
        }
        let mut replicas = cluster.topology.replicas().to_vec();
        self.random.shuffle(&mut replicas);
        cluster.poll = Some(Poll {
            nodes: nodes.into(),
            replicas: replicas.into(),
            votes: Vec::new(),
            query: None,
        });
        self.ask_next(now);
    }

    /// Asks the next node of the refresh in progress, or ends it.
    pub(super) fn ask_next(&mut self, now: Moment) {
        let server = loop {
            let Deployment::Cluster(cluster) = &mut self.deployment else {
                return;
            };
            let Some(poll) = &mut cluster.poll else {
                return;
            };
            let server = match poll.nodes.pop_front() {
                Some(server) => server,
                None => match poll.replicas.pop_front().filter(|_| poll.votes.is_empty()) {
                    Some(replica) => self.server_at(&replica, now),
                    None => return self.end_poll(now),
                },
            };
            // One that is away would not be asked.
            let known = self.servers.get(&server);
            if known.is_some_and(|known| !known.is_away()) {
                break server;
            }
        };
        let query = self.begin_query(server, Some(QUERY_TIMEOUT), now);
        if let Deployment::Cluster(cluster) = &mut self.deployment
            && let Some(poll) = &mut cluster.poll
        {
            poll.query = Some(query);
        }
        self.enqueue_query(query, now);
    }

    /// Counts the reply of a node, and whether it came from the configured server. `None`: it gave none.
    pub(super) fn next_vote(
        &mut self,
        query: QueryId,
        reply: Option<(ClusterInfo, bool)>,
        now: Moment,
    ) {
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        let Some(poll) = &mut cluster.poll else {
            return;
        };
        if poll.query != Some(query) {
            return;
        }
        poll.query = None;
        match reply {
            Some((ClusterInfo::Slots(slots), _)) if slots.count() > 0 => {
                match poll
                    .votes
                    .iter_mut()
                    .find(|(known, _)| known.agrees(&slots))
                {
                    Some((_, count)) => *count += 1,
                    None => poll.votes.push((slots, 1)),
                }
            }
            Some((ClusterInfo::Disabled, true)) if poll.votes.is_empty() => {
                // The configured server is no longer part of a cluster.
                self.deployment = Deployment::Unknown;
                let seed = self.seed;
                let nodes = self.servers.keys().copied();
                let nodes: Vec<_> = nodes.filter(|&node| node != seed).collect();
                for node in nodes {
                    self.retire(node);
                }
                return self.on_map_changed();
            }
            _ => {}
        }
        let all = usize::from(SLOTS);
        let enough = |(slots, count): &(Slots, usize)| *count >= QUORUM && slots.count() == all;
        if poll.votes.iter().any(enough) {
            self.end_poll(now);
        } else {
            self.ask_next(now);
        }
    }

    /// Installs the reply with the most slots, and of several the one with the most votes.
    pub(super) fn end_poll(&mut self, now: Moment) {
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        let votes = cluster.poll.take().map(|poll| poll.votes);
        let best = votes
            .into_iter()
            .flatten()
            .max_by_key(|(slots, count)| (slots.count(), *count));
        if let Some((slots, _)) = best {
            self.adopt(&slots, now);
        }
        self.schedule_refresh(now);
    }

    /// Installs the topology from a reply.
    pub(super) fn adopt(&mut self, slots: &Slots, now: Moment) {
        let mut handles = Vec::new();
        for (address, _) in &slots.served {
            let server = self.server_at(address, now);
            if let Some(known) = self.servers.get(&server) {
                handles.push((address.clone(), Arc::clone(&known.handle)));
            }
        }
        let Deployment::Cluster(cluster) = &mut self.deployment else {
            return;
        };
        let unknown = Arc::new(self.seed);
        let handle = |address: &Address| {
            let known = handles.iter().find(|(other, _)| other == address);
            known.map_or_else(|| Arc::clone(&unknown), |(_, handle)| Arc::clone(handle))
        };
        cluster.topology = cluster.topology.next(slots, handle);
        let serves = |id: ServerId| cluster.topology.nodes().any(|node| **node == id);
        // A node that is about to get its first slots is the target of redirects during the migration: it keeps its connections.
        cluster
            .transient
            .retain_mut(|(server, used)| std::mem::take(used) && !serves(*server));
        let kept = |id: ServerId| {
            id == self.seed || serves(id) || cluster.transient.iter().any(|(t, _)| *t == id)
        };
        let servers = self.servers.keys().copied();
        let retired: Vec<_> = servers.filter(|&id| !kept(id)).collect();
        if !serves(self.seed) {
            self.release(self.seed);
        }
        for server in retired {
            self.retire(server);
        }
        self.on_map_changed();
    }

    /// Forgets a server that no shard map names, once nothing waits for it.
    pub(super) fn retire(&mut self, id: ServerId) {
        self.release(id);
        let Some(server) = self.servers.get(&id) else {
            return;
        };
        let in_use = |c: &super::connection::Connection| c.server == id;
        let waits = server.links.iter().any(|link| !link.waiting.is_empty());
        let connects = server.links.iter().any(|link| link.attempt.is_some());
        if waits || connects || self.connections.values().any(in_use) {
            return;
        }
        self.servers.remove(&id);
    }
}

fn with_jitter(time: Duration, random: &mut fastrand::Rng) -> Duration {
    time.mul_f64(1.0 + random.f64() / 2.0)
}
