//! Keeps the topology: asks the nodes for it when something has changed, and from time to time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::Cluster;
use super::slot::SLOTS;
use super::topology::Slots;
use crate::store::budget::Budget;
use crate::store::redis::error_map;
use crate::store::redis::node::Node;
use crate::store::{ErrorKind, StoreError};

/// How often it is asked for while all is well: a shard added by hand, say, is known without a redirect. Up to half more, so
/// that processes that began together do not ask together.
const PERIOD: Duration = Duration::from_secs(60);

/// The same while a slot has no node, or a node no connection: a replica is promoted within seconds. `CLUSTER SLOTS` takes a
/// node of a few shards some 20 us: a thousand processes cost it 2 % of a core.
const UNHEALTHY_PERIOD: Duration = Duration::from_secs(1);

/// What asks for it is heard once in so long, and at once after a longer rest: a slot that moves redirects many.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// How long one node has for an answer: it is one of several that know.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// So many nodes are believed, where there are as many: one that was cut off from the others, or has just been started, may tell
/// of every slot what is past.
const QUORUM: usize = 2;

/// Nobody asks for the topology of a cluster that has not been used for so long.
const IDLE: Duration = Duration::from_secs(90);

/// Who wants a new topology, and whether anybody uses it.
pub(super) struct Refresh {
    asked: Notify,
    used: Mutex<Instant>,
    gone: AtomicBool,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            asked: Notify::new(),
            used: Mutex::new(Instant::now()),
            gone: AtomicBool::new(false),
        }
    }
}

impl Refresh {
    /// Something has changed, or may have.
    pub(super) fn request(&self) {
        self.asked.notify_one();
    }

    /// The cluster is in use.
    pub(super) fn used(&self) {
        *self.used.lock() = Instant::now();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// Whether a server is part of a cluster, by its own word.
pub(in crate::store::redis) enum ClusterInfo {
    /// It is, and this is who serves what there.
    Slots(Slots),
    /// It is not part of a cluster.
    Disabled,
    /// The user may not ask.
    Forbidden,
}

/// Asks `node` for the topology.
///
/// # Errors
/// Why it does not tell.
pub(in crate::store::redis) async fn ask_for_slots(node: &Node) -> Result<ClusterInfo, StoreError> {
    let command = redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let error = match node.look_up(&command).await? {
        Ok(answer) => {
            let slots = Slots::read(&answer, node.config()).map(ClusterInfo::Slots);
            let message = "the server's answer to CLUSTER SLOTS makes no sense";
            return slots.ok_or_else(|| StoreError::new(ErrorKind::Protocol, message));
        }
        Err(error) => error,
    };
    let known = error_map::instead_of_reply(&error);
    match (error.code(), known.kind()) {
        (_, ErrorKind::NoPerm) => Ok(ClusterInfo::Forbidden),
        // "This instance has cluster support disabled", or a server that has never heard of clusters: not one of the
        // errors that another day is without, such as "max number of clients reached".
        (Some("ERR"), ErrorKind::Protocol) => Ok(ClusterInfo::Disabled),
        _ => Err(known),
    }
}

/// Keeps the topology of `cluster` for as long as that is there.
pub(super) async fn run(cluster: Weak<Cluster>, refresh: Arc<Refresh>) {
    loop {
        let Some(well) = cluster.upgrade().map(|c| c.is_well()) else {
            return;
        };
        let period = if well { PERIOD } else { UNHEALTHY_PERIOD };
        let asked = timeout(later(period), refresh.asked.notified()).await;
        let idle = refresh.used.lock().elapsed() > IDLE;
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        if asked.is_ok() || !idle {
            let next = Instant::now() + later(MIN_INTERVAL);
            poll(&cluster).await;
            drop(cluster);
            sleep_until(next).await;
        }
    }
}

fn later(time: Duration) -> Duration {
    time.mul_f64(1.0 + fastrand::f64() / 2.0)
}

/// What nodes have told, and how many of them.
type Votes = Vec<(Slots, usize)>;

/// Asks one node after another until two tell the same of every slot, and takes over what most of those tell that know most.
async fn poll(cluster: &Cluster) {
    let topology = Arc::clone(&cluster.topology.borrow());
    let mut nodes: Vec<_> = topology.nodes().cloned().collect();
    fastrand::shuffle(&mut nodes);
    // Those that nobody reaches come last; before them, whatever the configured name leads to by now.
    nodes.sort_by_key(|node| node.is_away());
    let reached = nodes.partition_point(|node| !node.is_away());
    if !nodes.iter().any(|node| Arc::ptr_eq(node, &cluster.seed)) {
        nodes.insert(reached, Arc::clone(&cluster.seed));
    }
    let mut views = Votes::new();
    for node in nodes {
        if query(cluster, &node, &mut views).await {
            break;
        }
    }
    // Every primary may be gone, and what the configured name leads to: their replicas have taken over, or know who has.
    let mut replicas = topology.replicas().to_vec();
    fastrand::shuffle(&mut replicas);
    for replica in &replicas {
        if !views.is_empty() {
            break;
        }
        query(cluster, &cluster.node_at(replica), &mut views).await;
    }
    let best = views
        .into_iter()
        .max_by_key(|(slots, voices)| (slots.count(), *voices));
    if let Some((slots, _)) = best {
        cluster.adopt(&slots);
    }
}

/// Asks `node`, and adds what it tells to `views`. Whether that is enough to go by.
async fn query(cluster: &Cluster, node: &Arc<Node>, views: &mut Votes) -> bool {
    let asked = Budget::new(QUERY_TIMEOUT).within(ask_for_slots(node)).await;
    let Some(Ok(membership)) = asked else {
        return false;
    };
    match membership {
        ClusterInfo::Slots(slots) if slots.count() > 0 => {
            match views.iter_mut().find(|(known, _)| known.agrees(&slots)) {
                Some((_, voices)) => *voices += 1,
                None => views.push((slots, 1)),
            }
        }
        ClusterInfo::Disabled if Arc::ptr_eq(node, &cluster.seed) && views.is_empty() => {
            cluster.refresh.gone.store(true, Ordering::Relaxed);
        }
        ClusterInfo::Slots(_) | ClusterInfo::Disabled | ClusterInfo::Forbidden => {}
    }
    let enough =
        |(slots, voices): &(Slots, usize)| *voices >= QUORUM && slots.count() == usize::from(SLOTS);
    views.iter().any(enough)
}
