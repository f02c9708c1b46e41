//! Whether the configured server is one Redis or a node of a cluster.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Mutex;

use super::cluster::{Cluster, ClusterInfo, ask_for_slots};
use super::connection_stats::ConnectionStats;
use super::node::Node;
use crate::store::{ErrorKind, StoreError};

/// What a store runs on.
#[derive(Clone)]
pub(super) enum Deployment {
    Standalone,
    Cluster(Arc<Cluster>),
}

/// Discovers the deployment once, and keeps it.
pub(super) struct Discovery {
    node: Arc<Node>,
    connections: Arc<ConnectionStats>,
    found: RwLock<Option<Deployment>>,
    /// Held during a discovery.
    discovering: Mutex<()>,
}

impl Discovery {
    pub(super) fn new(node: Arc<Node>, connections: Arc<ConnectionStats>) -> Self {
        // Configured as no cluster: the server is not asked.
        let found = (node.config().cluster == Some(false)).then_some(Deployment::Standalone);
        Self {
            node,
            connections,
            found: RwLock::new(found),
            discovering: Mutex::new(()),
        }
    }

    /// The deployment, if it is known.
    pub(super) fn known(&self) -> Option<Deployment> {
        let found = self.found.read();
        match &*found {
            Some(Deployment::Cluster(cluster)) if cluster.is_gone() => None,
            found => found.clone(),
        }
    }

    /// Calls `read` with the cluster, if the deployment is known to be one. Without an `Arc` of it: this runs for each check, on
    /// every thread.
    pub(super) fn in_cluster<T>(&self, read: impl FnOnce(&Cluster) -> T) -> Option<T> {
        let found = self.found.read();
        match &*found {
            Some(Deployment::Cluster(cluster)) if !cluster.is_gone() => Some(read(cluster)),
            _ => None,
        }
    }

    /// The deployment. Asks the server if it is unknown.
    ///
    /// # Errors
    /// Why the server did not answer; or [`ErrorKind::Cluster`] if it is not what the configuration says.
    pub(super) async fn deployment(&self) -> Result<Deployment, StoreError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _discovering = self.discovering.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let info = ask_for_slots(&self.node)
            .await
            .map_err(StoreError::unsent)?;
        let wanted = self.node.config().cluster == Some(true);
        let deployment = match info {
            ClusterInfo::Slots(slots) if slots.served.is_empty() => return Err(empty()),
            ClusterInfo::Slots(_) if self.node.config().database != 0 => return Err(database()),
            ClusterInfo::Slots(slots) => {
                let node = Arc::clone(&self.node);
                Deployment::Cluster(Cluster::new(node, Arc::clone(&self.connections), &slots))
            }
            ClusterInfo::Disabled if wanted => return Err(cluster_disabled()),
            ClusterInfo::Forbidden if wanted => return Err(forbidden()),
            ClusterInfo::Disabled | ClusterInfo::Forbidden => Deployment::Standalone,
        };
        *self.found.write() = Some(deployment.clone());
        Ok(deployment)
    }

    /// The server has redirected a key, so it is part of a cluster. It is asked again, unless it is configured as no cluster, or a
    /// cluster was discovered meanwhile.
    pub(super) fn rediscover(&self) {
        let mut found = self.found.write();
        if self.node.config().cluster != Some(false)
            && matches!(*found, Some(Deployment::Standalone))
        {
            *found = None;
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
