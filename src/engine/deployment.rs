//! Whether the configured server is one Redis or a node of a cluster, and the cluster's shard map: read from the nodes
//! periodically and after signs of a change.
//!
//! The cluster connection of the redis crate is not used. It sends commands again that may have been executed, waits for
//! seconds inside a command while it reads the topology, follows redirects only as retries, which do both, and answers a
//! pipeline over several slots as a whole or not at all.

use std::time::{Duration, Instant};

use super::refresh::Poll;
use super::server::Job;
use super::time::{Moment, fired};
use super::{ConnectionId, Engine, QueryId, ServerId, Timer};
use crate::store::budget::Budget;
use crate::store::redis::cluster::topology::{Address, Topology};
use crate::store::redis::cluster::{ClusterInfo, read_cluster_info};
use crate::store::redis::protocol;
use crate::store::{ErrorKind, StoreError};

use super::connection::Expected;

/// What the engine runs on.
pub(super) enum Deployment {
    /// The configured server has to be asked.
    Unknown,
    /// One server.
    Standalone,
    Cluster(Box<Cluster>),
}

/// A cluster, by the replies of its nodes.
pub(super) struct Cluster {
    pub(super) topology: Topology<ServerId>,
    /// Nodes from redirects that the topology does not have yet, and replicas that are asked for the new primary: whether they
    /// were used since the last topology.
    pub(super) transient: Vec<(ServerId, bool)>,
    /// When it was last used.
    pub(super) used: Instant,
    /// A refresh has been requested.
    pub(super) requested: bool,
    /// No refresh begins earlier.
    pub(super) not_before: Instant,
    /// The next periodic refresh.
    pub(super) due: Instant,
    pub(super) poll: Option<Poll>,
}

/// A CLUSTER SLOTS.
pub(super) struct Query {
    server: ServerId,
    connection: Option<ConnectionId>,
    /// `None`: the discovery, which waits as long as the calls that wait for it.
    budget: Option<Budget>,
    timer: Option<Instant>,
}

impl Engine {
    /// Asks the configured server what it is.
    pub(super) fn discover(&mut self, now: Moment) {
        if self.discovery.is_some() {
            return;
        }
        let query = self.begin_query(self.seed, None, now);
        self.discovery = Some(query);
        self.enqueue_query(query, now);
    }

    /// A call or a test no longer waits for the discovery. If it was silent, or nobody waits any more, the query ends: the next one
    /// is sent over a connection that has been checked.
    pub(super) fn discovery_given_up(&mut self, now: Moment) {
        let query = self.discovery.and_then(|id| self.queries.get(&id));
        let connection = query.and_then(|query| query.connection);
        let mut silent = false;
        if let Some(known) = connection.and_then(|id| self.connections.get_mut(&id)) {
            known.health.given_up(now);
            silent = known.is_stale(now);
        }
        let awaited = !(self.undiscovered.is_empty() && self.waiting_tests.is_empty());
        if awaited && !silent {
            return;
        }
        if let Some(query) = self.discovery.take() {
            self.drop_query(query, now);
        }
        if awaited {
            self.discover(now);
        }
    }

    pub(super) fn begin_query(
        &mut self,
        server: ServerId,
        budget: Option<Duration>,
        now: Moment,
    ) -> QueryId {
        let id = self.new_id();
        let budget = budget.map(|budget| Budget::new(budget, now.steady));
        let due = budget.as_ref().map(|budget| budget.next());
        let mut query = Query {
            server,
            connection: None,
            budget,
            timer: None,
        };
        if let Some(at) = due {
            self.timers.set(&mut query.timer, at, Timer::Query(id));
        }
        self.queries.insert(id, query);
        id
    }

    pub(super) fn enqueue_query(&mut self, id: QueryId, now: Moment) {
        let Some(server) = self.queries.get(&id).map(|query| query.server) else {
            return;
        };
        let first = self.servers.get(&server).map_or(0, |server| server.next);
        self.enqueue(server, first, Job::Query(id), now);
    }

    /// Sends a query over `connection`.
    pub(super) fn send_query(&mut self, id: QueryId, connection: ConnectionId, now: Moment) {
        let Some(query) = self.queries.get_mut(&id) else {
            return;
        };
        query.connection = Some(connection);
        if let Some(known) = self.connections.get_mut(&connection) {
            protocol::command(&mut known.out, &[b"CLUSTER", b"SLOTS"]);
            known.in_flight.push_back(Expected::Query(id));
            known.health.sent(now);
        }
        self.wish_to_send(connection);
    }

    pub(super) fn drop_query(&mut self, id: QueryId, now: Moment) {
        let Some(query) = self.queries.remove(&id) else {
            return;
        };
        if let Some(connection) = query.connection {
            self.give_up_on(connection, now);
        }
    }

    /// The timer of a query.
    pub(super) fn on_query_timer(&mut self, id: QueryId, now: Moment) {
        let Some(query) = self.queries.get_mut(&id) else {
            return;
        };
        fired(&mut query.timer, now.steady);
        let Some(budget) = &mut query.budget else {
            return;
        };
        if budget.left(now.steady).is_zero() {
            self.drop_query(id, now);
            self.next_vote(id, None, now);
        } else {
            let at = budget.next();
            self.timers.set(&mut query.timer, at, Timer::Query(id));
        }
    }

    /// The reply to a query.
    pub(super) fn on_query_reply(
        &mut self,
        connection: ConnectionId,
        id: QueryId,
        reply: &[u8],
        now: Moment,
    ) {
        let Some(query) = self.queries.get(&id) else {
            return self.close_if_drained(connection);
        };
        let Some(server) = self.servers.get(&query.server) else {
            return;
        };
        let info = read_cluster_info(reply, &server.config);
        if protocol::server_error(reply).is_none() {
            // Some connections of a cluster are only asked for the slots: one that ends was as good as those that decide.
            self.prove(connection, now);
        }
        self.on_slots(id, info, now);
        self.close_if_drained(connection);
    }

    /// The answer of a node to a query.
    pub(super) fn on_slots(
        &mut self,
        id: QueryId,
        info: Result<ClusterInfo, StoreError>,
        now: Moment,
    ) {
        let Some(query) = self.queries.remove(&id) else {
            return;
        };
        if self.discovery == Some(id) {
            self.discovery = None;
            return self.discovered(info, now);
        }
        let from_seed = query.server == self.seed;
        self.next_vote(id, info.ok().map(|info| (info, from_seed)), now);
    }

    fn discovered(&mut self, info: Result<ClusterInfo, StoreError>, now: Moment) {
        let wanted = self.config.cluster == Some(true);
        let deployment = match info {
            Err(error) => Err(error.unsent()),
            Ok(ClusterInfo::Slots(slots)) if slots.served.is_empty() => Err(empty()),
            Ok(ClusterInfo::Slots(_)) if self.config.database != 0 => Err(database()),
            Ok(ClusterInfo::Slots(slots)) => {
                self.deployment = Deployment::Cluster(Box::new(Cluster::new(now)));
                self.adopt(&slots, now);
                self.schedule_refresh(now);
                Ok(())
            }
            Ok(ClusterInfo::Disabled) if wanted => Err(cluster_disabled()),
            Ok(ClusterInfo::Forbidden) if wanted => Err(forbidden()),
            Ok(ClusterInfo::Disabled | ClusterInfo::Forbidden) => {
                self.deployment = Deployment::Standalone;
                self.on_map_changed();
                Ok(())
            }
        };
        let waiting = std::mem::take(&mut self.undiscovered);
        for call in waiting {
            match &deployment {
                Ok(()) => self.dispatch(call, now),
                Err(error) => self.fail_call(call, error),
            }
        }
        self.start_waiting_tests(&deployment, now);
    }

    /// The server at `address`.
    pub(super) fn server_at(&mut self, address: &Address, now: Moment) -> ServerId {
        let known = self.servers.iter().find(|(_, s)| s.is_at(address));
        let id = match known {
            Some((&id, _)) => id,
            None => {
                let config = self.config.at(&address.host, address.port);
                self.add_server(config, now)
            }
        };
        let seed = self.seed;
        if let Deployment::Cluster(cluster) = &mut self.deployment {
            let serves = cluster.topology.nodes().any(|node| **node == id);
            match cluster.transient.iter_mut().find(|(other, _)| *other == id) {
                Some((_, used)) => *used = true,
                None if !serves && id != seed => cluster.transient.push((id, true)),
                None => {}
            }
        }
        id
    }
}

impl Cluster {
    fn new(now: Moment) -> Self {
        Self {
            topology: Topology::unknown(),
            transient: Vec::new(),
            used: now.steady,
            requested: false,
            not_before: now.steady,
            due: now.steady,
            poll: None,
        }
    }
}

fn refused(message: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Cluster, message).unsent()
}

fn empty() -> StoreError {
    refused("the server is a node of a Redis Cluster in which no node serves a slot yet")
}

fn database() -> StoreError {
    refused("the server is part of a Redis Cluster, which has database 0 only; remove the database")
}

fn cluster_disabled() -> StoreError {
    refused(
        "the server is not part of a Redis Cluster, as redis.cluster or the environment says; leave that out, and the \
         server is asked",
    )
}

fn forbidden() -> StoreError {
    refused(
        "the user may not ask for the cluster's slots; allow it CLUSTER SLOTS (+cluster|slots), and ASKING (+asking) for \
         slots that move",
    )
}
