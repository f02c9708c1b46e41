//! Logs on a Redis Cluster.
//!
//! The cluster connection of the redis crate is not used. It sends commands again that may have been executed, waits for seconds
//! inside a command while it reads the topology, follows redirects only as "retries", which do both, and answers a pipeline over
//! several slots as a whole or not at all. Here the requests for a slot are one script call, the calls for a node are sent
//! together, a redirect is followed at once, and no request is sent twice that may have been executed.

mod refresh;
mod router;
mod shard_map;
mod slot;
pub mod topology;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::select;
use tokio::sync::watch;

use self::refresh::Refresh;
pub(super) use self::refresh::{ClusterInfo, ask_for_slots};
pub(super) use self::router::{run, run_streaming};
pub use self::shard_map::ShardMap;
use self::slot::SLOTS;
use self::topology::{Slots, Topology};
use super::connection_stats::ConnectionStats;
use super::errand::Probe;
use super::node::Node;
use super::node::redirect::Address;
use crate::quota::Id;
use crate::store::{Scope, StoreError};

/// A cluster, by the replies of its nodes.
pub(super) struct Cluster {
    /// The configured server. Its name may resolve to any node.
    seed: Arc<Node>,
    connections: Arc<ConnectionStats>,
    topology: watch::Sender<Arc<Topology<Node>>>,
    /// Nodes from redirects that the topology does not have yet, and replicas that are asked for the new primary.
    transient_nodes: Mutex<Vec<TransientNode>>,
    refresh: Arc<Refresh>,
}

/// A node that is not in the topology.
struct TransientNode {
    node: Arc<Node>,
    /// Whether it was used since the last topology.
    used: bool,
}

impl Cluster {
    /// The cluster with the `slots` from the reply of `seed`. Must be called inside the runtime.
    pub(super) fn new(
        seed: Arc<Node>,
        connections: Arc<ConnectionStats>,
        slots: &Slots,
    ) -> Arc<Self> {
        let cluster = Arc::new(Self {
            seed,
            connections,
            topology: watch::Sender::new(Arc::new(Topology::unknown())),
            transient_nodes: Mutex::default(),
            refresh: Arc::default(),
        });
        cluster.adopt(slots);
        tokio::spawn(refresh::run(
            Arc::downgrade(&cluster),
            Arc::clone(&cluster.refresh),
        ));
        cluster
    }

    /// Whether the configured server has replied that it is no longer part of a cluster.
    pub(super) fn is_gone(&self) -> bool {
        self.refresh.is_gone()
    }

    /// The shard that holds the log of an id.
    pub(super) fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        let slot = slot::of_key_from(|key| scope.name.write_key(id, key));
        self.topology.borrow().shard_of(slot)
    }

    /// As [`Store::shard_map_version`](crate::store::Store::shard_map_version).
    pub(super) fn shard_map_version(&self) -> u64 {
        self.topology.borrow().version()
    }

    /// Host and port of the shard's primary, if it has one.
    pub(super) fn primary_of(&self, shard: usize) -> Option<String> {
        let topology = self.topology.borrow();
        let node = topology.shard(shard)?.node.as_ref()?;
        Some(node.config().address())
    }

    /// The node to send requests for an id to.
    pub(super) fn node_of(&self, scope: &Scope, id: &Id) -> Option<Arc<Node>> {
        let slot = slot::of_key_from(|key| scope.name.write_key(id, key));
        self.topology.borrow().node(slot).cloned()
    }

    /// Whether the primary of the shard decides.
    ///
    /// # Errors
    /// Why it does not decide.
    pub(super) async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        let topology = Arc::clone(&self.topology.borrow());
        if topology
            .shard(shard)
            .is_none_or(|shard| shard.node.is_none())
        {
            // A shard without slots gets no requests.
            return Ok(());
        }
        let of_shard = |probe: &Probe<'_>| topology.shard_of(slot::of(&probe.key)) == shard;
        // On average, one in SLOTS keys is in a shard of a single slot. Of this many keys, none is with a probability of e^-16.
        let mut probes = (0..16 * u32::from(SLOTS)).map(|n| Probe::new(scope, n));
        let Some(probe) = probes.find(of_shard) else {
            return Ok(());
        };
        let mut results = run(self, &probe, &[()]).await;
        results.swap_remove(0).map(drop)
    }

    /// As [`Store::connected`](crate::store::Store::connected), for one shard: counts its primaries and their connections.
    pub(super) async fn connected(&self, shard: usize, known: u64) -> u64 {
        let mut topologies = self.topology.subscribe();
        loop {
            let shard = topologies.borrow_and_update().shard(shard).cloned();
            let shard = shard.unwrap_or_default();
            let mut connects = shard.node.as_ref().map(|node| node.arrivals());
            let made = connects
                .as_mut()
                .map_or(0, |made| *made.borrow_and_update());
            let now = u64::from(shard.generation) << 32 | made;
            if now != known {
                return now;
            }
            let connect = async {
                match &mut connects {
                    Some(connects) => connects.changed().await,
                    None => std::future::pending().await,
                }
            };
            // The sender of topologies lives as long as `self`. That of a node may end, and then there is another topology.
            select! {
                _ = topologies.changed() => {}
                Ok(()) = connect => {}
            }
        }
    }

    /// The node at `address`.
    fn node_at(&self, address: &Address) -> Arc<Node> {
        let is_there = |node: &&Arc<Node>| node.is_at(address);
        let topology = self.topology.borrow();
        let known = topology.nodes().chain([&self.seed]).find(is_there).cloned();
        drop(topology);
        known.unwrap_or_else(|| {
            let mut transient = self.transient_nodes.lock();
            if let Some(known) = transient.iter_mut().find(|known| is_there(&&known.node)) {
                known.used = true;
                return Arc::clone(&known.node);
            }
            let config = self.seed.config().at(&address.host, address.port);
            let node = Arc::new(Node::new(config, Arc::clone(&self.connections)));
            transient.push(TransientNode {
                node: Arc::clone(&node),
                used: true,
            });
            node
        })
    }

    /// Installs the topology from a reply.
    fn adopt(&self, slots: &Slots) {
        let known = Arc::clone(&self.topology.borrow());
        let next = Arc::new(known.next(slots, |address| self.node_at(address)));
        self.topology.send_replace(Arc::clone(&next));
        let serves = |node: &Arc<Node>| next.nodes().any(|known| Arc::ptr_eq(known, node));
        if !serves(&self.seed) {
            self.seed.release();
        }
        // A node that is about to get its first slots is the target of redirects during the migration: it keeps its connections.
        self.transient_nodes
            .lock()
            .retain_mut(|known| std::mem::take(&mut known.used) && !serves(&known.node));
    }

    /// Whether every slot is served, and no primary is known to be away.
    fn is_healthy(&self) -> bool {
        let topology = self.topology.borrow();
        topology.is_complete() && !topology.nodes().any(|node| node.is_away())
    }
}

impl Topology<Node> {
    /// The node to send requests for a slot to.
    fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        self.nearest(slot, Node::is_away)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.refresh.request();
    }
}
