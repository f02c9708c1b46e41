//! A connection in use, and what all connections to one server have in common.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex as Lock;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Mutex, watch};

use super::config::{Credentials, RedisConfig, Secret};
use super::connection_stats::ConnectionStats;
use super::connector::{Connected, Connector, connect};
use super::credentials::retry_with_fresh;
use super::driver::Driver;
use super::greet::{is_alive, log_in};
use super::login::{Login, Moment};
use super::pulse::Pulse;
use crate::store::async_budget::AsyncBudget as Budget;
use crate::store::{ErrorKind, StoreError};

/// What the connections to one server have in common.
pub(super) struct Place {
    config: RedisConfig,
    way: Connector,
    /// Where a server has last said that it does not decide, nothing else having happened since.
    refused: Lock<Option<SocketAddr>>,
    /// Held by the link that looks for a server that is away.
    pub(super) search: Mutex<()>,
    /// Counts new connections.
    pub(super) arrivals: watch::Sender<u64>,
    pub(super) connections: Arc<ConnectionStats>,
}

impl Place {
    pub(super) fn new(config: RedisConfig, connections: Arc<ConnectionStats>) -> Self {
        Self {
            way: Connector::new(&config),
            refused: Lock::new(None),
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
        let (mut begun, mut moment) = (Instant::now(), Moment::now());
        let connected = tokio::select! {
            biased;
            connected = connect(&self.config, &self.way) => connected,
            () = self.moved() => {
                (begun, moment) = (Instant::now(), Moment::now());
                connect(&self.config, &self.way).await
            }
        };
        let Connected {
            connection,
            driver,
            address,
        } = connected.inspect_err(|_| {
            self.connections.failed();
            self.refused_at(None);
        })?;
        let login = match self.config.credentials {
            // Not from when AUTH was answered: the server counts from when it was said.
            Credentials::Source(_) => Some(Arc::new(Login::new(self.config.login_life, moment))),
            Credentials::Passwords(_) => None,
        };
        Ok(Live {
            connection,
            address,
            driver: Arc::new(driver),
            pulse: Arc::new(Pulse::new(begun.elapsed())),
            proven: Arc::default(),
            login,
        })
    }

    /// Whether a quiet connection is alive, and its name has not come to lead elsewhere meanwhile.
    pub(super) async fn gives_sign_of_life(&self, quiet: &Live) -> bool {
        tokio::select! {
            biased;
            alive = is_alive(&quiet.connection, quiet.pulse.patience()) => alive,
            () = self.moved() => false,
        }
    }

    /// Waits until the name leads elsewhere than at the last connect.
    pub(super) async fn moved(&self) {
        self.way.resolver.changed().await;
    }

    /// A server has said that it does not decide: a replica, or one that is loading. `None`: something else has happened.
    pub(super) fn refused_at(&self, address: Option<SocketAddr>) {
        *self.refused.lock() = address;
    }

    /// Whether a connection leads to the server that has just refused.
    pub(super) fn has_refused(&self, live: &Live) -> bool {
        let refused = self.refused.lock();
        *refused == Some(live.address)
    }

    /// Says AUTH again on a connection in use, within the budget of a connect. It takes its turn among the checks, and one
    /// that is refused leaves the connection as it was.
    pub(super) async fn log_in_again(&self, live: &Live) -> Result<(), StoreError> {
        let (Credentials::Source(source), Some(login)) = (&self.config.credentials, &live.login)
        else {
            return Ok(());
        };
        let moment = Moment::now();
        let budget = Budget::new(self.config.connect_timeout);
        let username = self.config.username.as_deref();
        let renewal = retry_with_fresh(&**source, &budget, |password: Secret| async move {
            live.pulse.sent();
            let answer = log_in(&mut live.connection.clone(), username, Some(&password)).await;
            live.pulse.heard();
            answer
        });
        let renewed = budget.within(renewal).await.unwrap_or_else(|| {
            live.pulse.given_up();
            let message = "AUTH has not been answered within the budget of a connect";
            Err(StoreError::new(ErrorKind::Timeout, message))
        });
        match &renewed {
            Ok(()) => login.renewed(moment),
            Err(_) => login.failed(),
        }
        renewed
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
    /// `None`: it holds for as long as the connection does.
    pub(super) login: Option<Arc<Login>>,
}

impl Live {
    /// The server decides over it, or answers as a node of a cluster does.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether that has been seen.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Whether the server may end it soon for its age, or has, and nobody has tried yet to log in again: a process that stood
    /// still finds it so.
    pub(super) fn is_over(&self) -> bool {
        let login = self.login.as_ref();
        login.is_some_and(|login| login.is_over(Moment::now()) && !login.has_failed())
    }

    /// There is no other in its place, for now.
    pub(super) fn not_renewed(&self) {
        if let Some(login) = &self.login {
            login.failed();
        }
    }

    /// Whether `other` drives it.
    pub(super) fn is(&self, other: &Arc<Driver>) -> bool {
        Arc::ptr_eq(&self.driver, other)
    }
}
