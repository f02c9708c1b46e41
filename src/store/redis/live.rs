//! A connection in use, and what all connections to one server have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, watch};

use super::config::RedisConfig;
use super::connect::{Connected, Way, connect};
use super::connections::Connections;
use super::driver::Driver;
use super::pulse::Pulse;
use crate::store::StoreError;

/// What the connections to one server have in common.
pub(super) struct Place {
    config: RedisConfig,
    way: Way,
    /// The server there has said that it is a replica, and has not been lost since.
    replica: Lock<Option<SocketAddr>>,
    /// Held by the link that looks for a server that is away.
    pub(super) search: Mutex<()>,
    /// Counts new connections.
    pub(super) arrivals: watch::Sender<u64>,
    pub(super) connections: Arc<Connections>,
}

impl Place {
    pub(super) fn new(config: RedisConfig, connections: Arc<Connections>) -> Self {
        Self {
            way: Way::new(&config),
            replica: Lock::new(None),
            config,
            search: Mutex::new(()),
            arrivals: watch::Sender::new(0),
            connections,
        }
    }

    pub(super) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// A new connection, within the budget: that of another attempt, once, where the name comes to lead elsewhere during the
    /// first.
    pub(super) async fn connect(&self) -> Result<Live, StoreError> {
        let mut begun = Instant::now();
        let connected = tokio::select! {
            biased;
            connected = connect(&self.config, &self.way) => connected,
            () = self.moved() => {
                begun = Instant::now();
                connect(&self.config, &self.way).await
            }
        };
        let Connected {
            connection,
            driver,
            address,
        } = connected.inspect_err(|_| {
            self.connections.failed();
            self.is_replica(None);
        })?;
        Ok(Live {
            connection,
            address,
            driver: Arc::new(driver),
            pulse: Arc::new(Pulse::new(begun.elapsed())),
            proven: Arc::default(),
        })
    }

    /// Waits until the name leads elsewhere than at the last connect.
    pub(super) async fn moved(&self) {
        self.way.resolver.moved().await;
    }

    /// What the last connection that was lost has shown of the server at its other end.
    pub(super) fn is_replica(&self, address: Option<SocketAddr>) {
        *self.replica.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Whether a connection leads to a server that was a replica a moment ago.
    pub(super) fn leads_to_replica(&self, live: &Live) -> bool {
        let replica = self.replica.lock().unwrap_or_else(PoisonError::into_inner);
        *replica == Some(live.address)
    }
}

/// A connection in use.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Where it leads.
    pub(super) address: SocketAddr,
    pub(super) driver: Arc<Driver>,
    pub(super) pulse: Arc<Pulse>,
    /// Whether it has decided anything.
    proven: Arc<AtomicBool>,
}

impl Live {
    /// The server decides over it.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether it decided anything.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Whether `other` drives it.
    pub(super) fn is(&self, other: &Arc<Driver>) -> bool {
        Arc::ptr_eq(&self.driver, other)
    }
}
