//! What the configured server is: one Redis, or a node of a cluster.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockWriteGuard};
use tokio::sync::Mutex;

use super::cluster::{Cluster, ClusterInfo, ask_for_slots};
use super::connection_stats::ConnectionStats;
use super::node::Node;
use crate::store::{ErrorKind, StoreError};

/// A store behind one server, as far as that is known.
#[derive(Clone)]
pub(super) enum Deployment {
    Standalone,
    Cluster(Arc<Cluster>),
}

/// Finds out, once, and keeps it.
pub(super) struct Discovery {
    node: Arc<Node>,
    connections: Arc<ConnectionStats>,
    found: RwLock<Option<Deployment>>,
    /// Held by who asks.
    asking: Mutex<()>,
}

impl Discovery {
    pub(super) fn new(node: Arc<Node>, connections: Arc<ConnectionStats>) -> Self {
        // Said to be none: not even asked.
        let found = (node.config().cluster == Some(false)).then_some(Deployment::Standalone);
        Self {
            node,
            connections,
            found: RwLock::new(found),
            asking: Mutex::new(()),
        }
    }

    /// What it is, if that is known.
    pub(super) fn known(&self) -> Option<Deployment> {
        let found = self.found.read();
        match &*found {
            Some(Deployment::Cluster(cluster)) if cluster.is_gone() => None,
            found => found.clone(),
        }
    }

    /// What `look` sees in the cluster that is known. Without a share of it: this is asked for each check, on every thread.
    pub(super) fn in_cluster<T>(&self, look: impl FnOnce(&Cluster) -> T) -> Option<T> {
        let found = self.found.read();
        match &*found {
            Some(Deployment::Cluster(cluster)) if !cluster.is_gone() => Some(look(cluster)),
            _ => None,
        }
    }

    /// What it is: asked for, if need be.
    ///
    /// # Errors
    /// Why it cannot be asked; or [`ErrorKind::Cluster`] for what is not as configured.
    pub(super) async fn deployment(&self) -> Result<Deployment, StoreError> {
        if let Some(shape) = self.known() {
            return Ok(shape);
        }
        let _asking = self.asking.lock().await;
        if let Some(shape) = self.known() {
            return Ok(shape);
        }
        let membership = ask_for_slots(&self.node)
            .await
            .map_err(StoreError::unsent)?;
        let wanted = self.node.config().cluster == Some(true);
        let shape = match membership {
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
        *self.found() = Some(shape.clone());
        Ok(shape)
    }

    /// It is more than one server. Asked again, unless it is said to be none; or somebody has asked meanwhile, and a cluster has
    /// been found.
    pub(super) fn rediscover(&self) {
        let mut found = self.found();
        if self.node.config().cluster != Some(false)
            && matches!(*found, Some(Deployment::Standalone))
        {
            *found = None;
        }
    }

    fn found(&self) -> RwLockWriteGuard<'_, Option<Deployment>> {
        self.found.write()
    }
}

fn refused(message: &'static str) -> StoreError {
    StoreError::new(ErrorKind::Cluster, message).unsent()
}

fn empty() -> StoreError {
    refused("the server is a node of a Redis Cluster in which nobody serves any slot yet")
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
