//! Logs on a Redis Cluster.
//!
//! The redis crate's own cluster connection is not used. It sends again what may have been executed, waits for seconds inside
//! a command while it asks for the topology, follows redirects only as "retries", which do both, and answers a pipeline over
//! several slots as a whole or not at all. Here each slot's requests are one script call, the calls for one node travel
//! together, a redirect is followed at once, and nothing is sent twice that may have been executed.

mod refresh;
mod router;
mod slot;
pub mod topology;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::select;
use tokio::sync::watch;

use self::refresh::Refresh;
pub(super) use self::refresh::{ClusterInfo, ask_for_slots};
pub(super) use self::router::{run, run_in_pieces};
use self::slot::SLOTS;
use self::topology::{Slots, Topology};
use super::connection_stats::ConnectionStats;
use super::errand::Probe;
use super::node::Node;
use super::node::redirect::Address;
use crate::quota::Id;
use crate::store::{Scope, StoreError};

/// A cluster, as its nodes have told it.
pub(super) struct Cluster {
    /// The configured one, which may be a name for any of them.
    seed: Arc<Node>,
    connections: Arc<ConnectionStats>,
    topology: watch::Sender<Arc<Topology<Node>>>,
    /// Nodes that a redirect has named, and the topology does not know yet; replicas that are asked who took over.
    guests: Mutex<Vec<TransientNode>>,
    refresh: Arc<Refresh>,
}

/// One that the topology does not know.
struct TransientNode {
    node: Arc<Node>,
    /// Since the last topology.
    asked: bool,
}

impl Cluster {
    /// The cluster that `seed` has told of. Inside the runtime.
    pub(super) fn new(
        seed: Arc<Node>,
        connections: Arc<ConnectionStats>,
        slots: &Slots,
    ) -> Arc<Self> {
        let cluster = Arc::new(Self {
            seed,
            connections,
            topology: watch::Sender::new(Arc::new(Topology::unknown())),
            guests: Mutex::default(),
            refresh: Arc::default(),
        });
        cluster.adopt(slots);
        tokio::spawn(refresh::run(
            Arc::downgrade(&cluster),
            Arc::clone(&cluster.refresh),
        ));
        cluster
    }

    /// Whether the configured server has said that it is no cluster any more.
    pub(super) fn is_gone(&self) -> bool {
        self.refresh.is_gone()
    }

    /// The shard that holds an id's log.
    pub(super) fn shard_of(&self, scope: &Scope, id: &Id) -> usize {
        let slot = slot::of_written(|key| scope.name.write_key(id, key));
        self.topology.borrow().shard_of(slot)
    }

    /// As [`Store::shard_map_version`](crate::store::Store::shard_map_version).
    pub(super) fn shard_map_version(&self) -> u64 {
        self.topology.borrow().version()
    }

    /// Host and port of that shard's primary. `None`: it has none.
    pub(super) fn primary_of(&self, shard: usize) -> Option<String> {
        let topology = self.topology.borrow();
        let node = topology.shard(shard)?.node.as_ref()?;
        Some(node.config().address())
    }

    /// The node to ask about an id.
    pub(super) fn node_of(&self, scope: &Scope, id: &Id) -> Option<Arc<Node>> {
        let slot = slot::of_written(|key| scope.name.write_key(id, key));
        self.topology.borrow().node(slot).cloned()
    }

    /// Whether the primary of that shard decides.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn probe(&self, scope: &Scope, shard: usize) -> Result<(), StoreError> {
        let topology = Arc::clone(&self.topology.borrow());
        if topology
            .shard(shard)
            .is_none_or(|shard| shard.node.is_none())
        {
            // It has no slots left, and nothing is asked of it any more.
            return Ok(());
        }
        let ours = |probe: &Probe<'_>| topology.shard_of(slot::of(&probe.key)) == shard;
        // One in SLOTS keys is with a shard of a single slot, on average: in so many, one is but for once in e^16.
        let mut probes = (0..16 * u32::from(SLOTS)).map(|n| Probe::new(scope, n));
        let Some(probe) = probes.find(ours) else {
            return Ok(());
        };
        let mut results = run(self, &probe, &[()]).await;
        results.swap_remove(0).map(drop)
    }

    /// As [`Store::connected`](crate::store::Store::connected), for one shard: counts its primaries and the connections made to
    /// them.
    pub(super) async fn connected(&self, shard: usize, known: u64) -> u64 {
        let mut topologies = self.topology.subscribe();
        loop {
            let shard = topologies.borrow_and_update().shard(shard).cloned();
            let shard = shard.unwrap_or_default();
            let mut arrivals = shard.node.as_ref().map(|node| node.arrivals());
            let made = arrivals
                .as_mut()
                .map_or(0, |made| *made.borrow_and_update());
            let now = u64::from(shard.generation) << 32 | made;
            if now != known {
                return now;
            }
            let arrival = async {
                match &mut arrivals {
                    Some(arrivals) => arrivals.changed().await,
                    None => std::future::pending().await,
                }
            };
            // The topology's sender lives as long as this. That of a node may not, and then there is another topology.
            select! {
                _ = topologies.changed() => {}
                Ok(()) = arrival => {}
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
            let mut guests = self.guests.lock();
            if let Some(guest) = guests.iter_mut().find(|guest| is_there(&&guest.node)) {
                guest.asked = true;
                return Arc::clone(&guest.node);
            }
            let config = self.seed.config().at(&address.host, address.port);
            let node = Arc::new(Node::new(config, Arc::clone(&self.connections)));
            guests.push(TransientNode {
                node: Arc::clone(&node),
                asked: true,
            });
            node
        })
    }

    /// Who serves what from now on.
    fn adopt(&self, slots: &Slots) {
        let known = Arc::clone(&self.topology.borrow());
        let next = Arc::new(known.next(slots, |address| self.node_at(address)));
        self.topology.send_replace(Arc::clone(&next));
        let serves = |node: &Arc<Node>| next.nodes().any(|known| Arc::ptr_eq(known, node));
        if !serves(&self.seed) {
            self.seed.release();
        }
        // One that is to get its first slots is redirected to for as long as these are on their way: it keeps its connections.
        self.guests
            .lock()
            .retain_mut(|guest| std::mem::take(&mut guest.asked) && !serves(&guest.node));
    }

    /// Whether every slot is served, and every primary can be reached as far as is known.
    fn is_well(&self) -> bool {
        let topology = self.topology.borrow();
        topology.is_complete() && !topology.nodes().any(|node| node.is_away())
    }
}

impl Topology<Node> {
    /// The node to ask about a slot.
    fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        self.nearest(slot, Node::is_away)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.refresh.request();
    }
}
