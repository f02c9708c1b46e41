//! One server, and its links: the connections to it and their successors.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::connect::Attempt;
use super::{ConnectionId, PartId, QueryId, ServerId, TestId};
use crate::store::StoreError;
use crate::store::budget::Budget;
use crate::store::redis::cluster::topology::Address;
use crate::store::redis::{AddressHealth, MAX_CONNECTIONS, RedisConfig};

/// One server.
pub(super) struct Server {
    pub(super) config: RedisConfig,
    /// Its id, as the shard map has it.
    pub(super) handle: Arc<ServerId>,
    pub(super) links: Vec<Link>,
    /// Counts the parts sent to it: picks the link.
    pub(super) next: usize,
    /// The number of the next tag.
    pub(super) next_tag: usize,
    /// The last late reply that made limiters probe.
    pub(super) late_reply: Option<Instant>,
    pub(super) addresses: AddressHealth,
    /// A connection was made: the server speaks TLS, or does not, as configured.
    pub(super) protocol_confirmed: bool,
    /// The address at which a server has last replied that it does not decide (READONLY, LOADING), if nothing else has
    /// happened since.
    pub(super) refused: Option<SocketAddr>,
    /// The number of connections made to it, but for those that lead to the address that has refused.
    pub(super) connections_made: u64,
    /// The addresses that the last connect used.
    pub(super) last_used: Vec<SocketAddr>,
    /// A look-up of its name is in flight. The system's look-up blocks a thread and cannot be cancelled, so there is one at a time.
    pub(super) looking_up: bool,
    /// When its name is looked up again, while a failover may have moved it.
    pub(super) next_lookup: Option<Instant>,
    /// The links that are away, in the order in which they search for the server. Only the first one does.
    pub(super) searching: VecDeque<usize>,
    /// Its earliest timer.
    pub(super) timer: Option<Instant>,
}

/// One of the connections to a server, and its successors.
pub(super) struct Link {
    pub(super) state: LinkState,
    /// A connect in progress.
    pub(super) attempt: Option<Attempt>,
    /// Connections in a row that failed: to be made, or before the server decided over them.
    pub(super) failures: u32,
    /// When a request last used it.
    pub(super) used: Instant,
    /// There has been a connection.
    pub(super) replaces: bool,
    /// What waits for a connection.
    pub(super) waiting: Vec<Job>,
    /// When the next attempt in the background begins.
    pub(super) retry_at: Option<Instant>,
    /// Connects elsewhere as soon as the server's name leads elsewhere.
    pub(super) following: bool,
    /// Its earliest timer.
    pub(super) timer: Option<Instant>,
}

/// The state of a link.
pub(super) enum LinkState {
    /// The next request connects.
    Down,
    /// The connection has been quiet, and a PING is in flight. `failure`: why a new one could not be made before.
    Checking {
        connection: ConnectionId,
        budget: Budget,
        failure: Option<StoreError>,
    },
    /// Requests wait for the attempt.
    Connecting,
    /// The connection may be used.
    Up(ConnectionId),
    /// There is no connection, for this reason. Attempts are made in the background.
    Away(StoreError),
}

/// What waits for a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    Part(PartId),
    Query(QueryId),
    Test(TestId),
}

impl Server {
    pub(super) fn new(id: ServerId, config: RedisConfig, now: Instant) -> Self {
        let count = config.connections.clamp(1, MAX_CONNECTIONS);
        Self {
            config,
            handle: Arc::new(id),
            links: (0..count).map(|_| Link::new(now)).collect(),
            next: 0,
            next_tag: 0,
            late_reply: None,
            addresses: AddressHealth::default(),
            protocol_confirmed: false,
            refused: None,
            connections_made: 0,
            last_used: Vec::new(),
            looking_up: false,
            next_lookup: None,
            searching: VecDeque::new(),
            timer: None,
        }
    }

    /// Its host as an address, if it is no name.
    pub(super) fn literal_address(&self) -> Option<SocketAddr> {
        let address = self.config.host.parse::<IpAddr>().ok()?;
        Some((address, self.config.port).into())
    }

    /// Whether it is at `address`.
    pub(super) fn is_at(&self, address: &Address) -> bool {
        self.config.port == address.port && self.config.host == address.host
    }

    /// Whether there is no connection, and none is being made for a request.
    pub(super) fn is_away(&self) -> bool {
        self.links.iter().all(Link::is_away)
    }

    /// Whether a failover may have moved its name: a connection is being made, checked or missing.
    pub(super) fn follows_name(&self) -> bool {
        let first = self.searching.front().copied();
        let follows = |(at, link): (usize, &Link)| {
            let searches = link.is_away() && first == Some(at);
            let checks = matches!(link.state, LinkState::Checking { .. });
            checks || link.attempt.is_some() || link.following || searches
        };
        self.links.iter().enumerate().any(follows)
    }
}

impl Link {
    fn new(now: Instant) -> Self {
        Self {
            state: LinkState::Down,
            attempt: None,
            failures: 0,
            used: now,
            replaces: false,
            waiting: Vec::new(),
            retry_at: None,
            following: false,
            timer: None,
        }
    }

    /// Whether there is no connection, and none is being made for a request.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.state, LinkState::Away(_))
    }

    /// The connection in use.
    pub(super) fn up(&self) -> Option<ConnectionId> {
        match self.state {
            LinkState::Up(connection) => Some(connection),
            _ => None,
        }
    }
}
