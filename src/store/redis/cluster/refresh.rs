//! Keeps the topology up to date: reads it from the nodes periodically and after signs of a change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::Cluster;
use super::slot::SLOTS;
use super::topology::Slots;
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::redis::error_map;
use crate::store::redis::node::Node;
use crate::store::{ErrorKind, StoreError};

/// The period while the cluster is healthy: a shard that an operator adds is known without a redirect. Up to half is added, so that
/// processes that were started together spread their queries.
const PERIOD: Duration = Duration::from_secs(60);

/// The period while a slot has no node, or a node no connection: a replica is promoted within seconds. `CLUSTER SLOTS` takes a node
/// some 20 us in a cluster of a few shards: a thousand processes cost it 2 % of a core.
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

/// Requests for a refresh, and the last use of the cluster.
pub(super) struct Refresh {
    requested: Notify,
    used: Mutex<Instant>,
    gone: AtomicBool,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            requested: Notify::new(),
            used: Mutex::new(Instant::now()),
            gone: AtomicBool::new(false),
        }
    }
}

impl Refresh {
    /// Requests a refresh: the topology may have changed.
    pub(super) fn request(&self) {
        self.requested.notify_one();
    }

    /// The cluster is in use.
    pub(super) fn used(&self) {
        *self.used.lock() = Instant::now();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// A server's reply to `CLUSTER SLOTS`.
pub(in crate::store::redis) enum ClusterInfo {
    /// It is part of a cluster with these slots.
    Slots(Slots),
    /// It is not part of a cluster.
    Disabled,
    /// The user may not run the command.
    Forbidden,
}

/// Asks `node` for the topology.
///
/// # Errors
/// Why there is no reply, or that it makes no sense.
pub(in crate::store::redis) async fn ask_for_slots(node: &Node) -> Result<ClusterInfo, StoreError> {
    let command = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let error = match node.look_up(&command).await? {
        Ok(reply) => {
            let slots = Slots::read(&reply, node.config()).map(ClusterInfo::Slots);
            let message = "the server's answer to CLUSTER SLOTS makes no sense";
            return slots.ok_or_else(|| StoreError::new(ErrorKind::Protocol, message));
        }
        Err(error) => error,
    };
    let known = error_map::command_error(&error);
    match (error.code(), known.kind()) {
        (_, ErrorKind::NoPerm) => Ok(ClusterInfo::Forbidden),
        // "This instance has cluster support disabled", or a server without the command. Not a temporary error, such as "max number
        // of clients reached".
        (Some("ERR"), ErrorKind::Protocol) => Ok(ClusterInfo::Disabled),
        _ => Err(known),
    }
}

/// Refreshes the topology of `cluster` until that is dropped.
pub(super) async fn run(cluster: Weak<Cluster>, refresh: Arc<Refresh>) {
    loop {
        let Some(healthy) = cluster.upgrade().map(|c| c.is_healthy()) else {
            return;
        };
        let period = if healthy { PERIOD } else { UNHEALTHY_PERIOD };
        let requested = timeout(with_jitter(period), refresh.requested.notified()).await;
        let idle = refresh.used.lock().elapsed() > IDLE;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        if requested.is_ok() || !idle {
            let next = Instant::now() + with_jitter(MIN_INTERVAL);
            poll(&cluster).await;
            drop(cluster);
            sleep_until(next).await;
        }
    }
}

fn with_jitter(time: Duration) -> Duration {
    time.mul_f64(1.0 + fastrand::f64() / 2.0)
}

/// Different replies, each with the number of nodes that sent it.
type Votes = Vec<(Slots, usize)>;

/// Asks one node after another until two replies agree on every slot. Installs the reply with the most slots, and of several the one
/// with the most votes.
async fn poll(cluster: &Cluster) {
    let topology = Arc::clone(&cluster.topology.borrow());
    let mut nodes: Vec<_> = topology.nodes().cloned().collect();
    fastrand::shuffle(&mut nodes);
    // Nodes that are away come last, after the configured name, whatever it resolves to by now.
    nodes.sort_by_key(|node| node.is_away());
    let reachable = nodes.partition_point(|node| !node.is_away());
    if !nodes.iter().any(|node| Arc::ptr_eq(node, &cluster.seed)) {
        nodes.insert(reachable, Arc::clone(&cluster.seed));
    }
    let mut votes = Votes::new();
    for node in nodes {
        if query(cluster, &node, &mut votes).await {
            break;
        }
    }
    // If all primaries and the configured server are gone, their replicas have taken over or know the new primaries.
    let mut replicas = topology.replicas().to_vec();
    fastrand::shuffle(&mut replicas);
    for replica in &replicas {
        if !votes.is_empty() {
            break;
        }
        query(cluster, &cluster.node_at(replica), &mut votes).await;
    }
    let best = votes
        .into_iter()
        .max_by_key(|(slots, count)| (slots.count(), *count));
    if let Some((slots, _)) = best {
        cluster.adopt(&slots);
    }
}

/// Asks `node`, and adds its reply to `votes`. Returns whether they are enough.
async fn query(cluster: &Cluster, node: &Arc<Node>, votes: &mut Votes) -> bool {
    let reply = Budget::new(QUERY_TIMEOUT).within(ask_for_slots(node)).await;
    let Some(Ok(info)) = reply else {
        return false;
    };
    match info {
        ClusterInfo::Slots(slots) if slots.count() > 0 => {
            match votes.iter_mut().find(|(known, _)| known.agrees(&slots)) {
                Some((_, count)) => *count += 1,
                None => votes.push((slots, 1)),
            }
        }
        ClusterInfo::Disabled if Arc::ptr_eq(node, &cluster.seed) && votes.is_empty() => {
            cluster.refresh.gone.store(true, Ordering::Relaxed);
        }
        ClusterInfo::Slots(_) | ClusterInfo::Disabled | ClusterInfo::Forbidden => {}
    }
    let enough =
        |(slots, count): &(Slots, usize)| *count >= QUORUM && slots.count() == usize::from(SLOTS);
    votes.iter().any(enough)
}
