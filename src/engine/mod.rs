//! The engine: the state machine of one Redis deployment. It holds the connections' protocol state, the shard map and the calls in
//! flight.
//!
//! It does no I/O. A driver hands it time, bytes and the results of look-ups and connects, and carries out its [`Wish`]es; chance comes
//! from the generator that it is made with. So the same engine runs over sockets and in a simulation. (In the manner of
//! quinn-proto, str0m and rustls.)

mod call;
mod connect;
mod connection;
mod connection_test;
mod deployment;
mod events;
mod handshake;
mod limiters;
mod link;
pub mod login;
mod part;
mod reauthentication;
mod reconnect;
mod refresh;
mod restart;
mod server;
mod time;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

pub use self::call::{CallResults, Results, Work};
pub use self::connection_test::ConnectionTest;
pub use self::time::Moment;

use self::call::Call;
use self::connection::Connection;
use self::connection_test::Test;
use self::deployment::{Deployment, Query};
use self::limiters::{Change, Limiter};
use self::part::Part;
use self::server::{Link, Server};
use self::time::Timers;
use crate::limiter::{BatchId, Completion, Output};
use crate::store::StoreError;
use crate::store::redis::cluster::ShardMap;
use crate::store::redis::{ConnectionStats, RedisConfig};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    )*};
}

ids! {
    /// A server.
    ServerId,
    /// A connection.
    ConnectionId,
    /// A limiter.
    LimiterId,
    /// A script call.
    CallId,
    /// A connection test.
    TestId,
    /// A request for a password.
    PasswordRequestId,
    /// The part of a call for one server.
    PartId,
    /// A CLUSTER SLOTS.
    QueryId
}

/// One of the links of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LinkId {
    server: ServerId,
    at: usize,
}

/// What the driver has to do. Each is carried out once, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Look up a name, and call [`Engine::looked_up`].
    LookUp {
        /// The server of that name.
        server: ServerId,
        /// The name.
        host: String,
        /// The port of the addresses.
        port: u16,
    },
    /// Connect by TCP, and then TLS if it is configured. Call [`Engine::accepted`] and then [`Engine::connected`], or
    /// [`Engine::connect_failed`].
    Connect {
        /// The connection.
        connection: ConnectionId,
        /// Where to.
        address: SocketAddr,
        /// The name that the server's certificate must have.
        host: String,
    },
    /// Send the bytes of [`Engine::transmit`].
    Send {
        /// The connection.
        connection: ConnectionId,
    },
    /// Close a connection, or end the attempt to connect. It is forgotten.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
    /// Ask the password source, and call [`Engine::password`].
    Password {
        /// The request.
        request: PasswordRequestId,
        /// The server has rejected the password before.
        after_rejection: bool,
    },
    /// The answer to a request for a password is not awaited any more.
    ForgetPassword {
        /// The request.
        request: PasswordRequestId,
    },
    /// Ask the server in the other protocol (TLS in place of plain text, or the reverse), over another connection, and call
    /// [`Engine::probed`] with the first two bytes of its answer.
    ProbeProtocol {
        /// The connection on which the server is silent.
        connection: ConnectionId,
        /// Where to.
        address: SocketAddr,
        /// The name of the server.
        host: String,
    },
}

/// What a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Link(LinkId),
    Server(ServerId),
    Connection(ConnectionId),
    Part(PartId),
    Query(QueryId),
    Limiter(LimiterId),
    Test(TestId),
    Refresh,
}

/// What a password is for.
#[derive(Debug, Clone, Copy)]
enum PasswordFor {
    Connect(LinkId),
    Reauthentication(ConnectionId),
}

/// The state machine of one Redis deployment.
pub struct Engine {
    config: RedisConfig,
    stats: Arc<ConnectionStats>,
    random: fastrand::Rng,
    last_id: u64,
    servers: BTreeMap<ServerId, Server>,
    /// The configured server. The name of a cluster may lead to any of its nodes.
    seed: ServerId,
    connections: BTreeMap<ConnectionId, Connection>,
    deployment: Deployment,
    /// The query that asks the configured server what it is.
    discovery: Option<QueryId>,
    /// Calls and tests that wait for its answer.
    undiscovered: Vec<CallId>,
    waiting_tests: Vec<TestId>,
    calls: BTreeMap<CallId, Call>,
    parts: BTreeMap<PartId, Part>,
    queries: BTreeMap<QueryId, Query>,
    tests: BTreeMap<TestId, Test>,
    password_requests: BTreeMap<PasswordRequestId, PasswordFor>,
    map: ShardMap,
    /// The number of primaries that each shard has had.
    generations: Vec<u32>,
    limiters: BTreeMap<LimiterId, Limiter>,
    /// What the limiters have not been handed.
    changes: VecDeque<Change>,
    limiter_results: VecDeque<(LimiterId, BatchId, CallResults)>,
    skipped_probes: Vec<(LimiterId, BatchId)>,
    /// Replays that are being sent: their indices.
    sent_replays: Vec<(LimiterId, BatchId, Vec<usize>)>,
    completions: Vec<(LimiterId, Completion)>,
    /// The number of limiters that were closed and have requests that are not answered.
    closing: usize,
    /// Limiters that were closed and have answered all requests.
    closed_limiters: VecDeque<LimiterId>,
    /// Empty. Its capacity is used again.
    output: Output,
    timers: Timers<Timer>,
    refresh_timer: Option<Instant>,
    wishes: VecDeque<Wish>,
    results: VecDeque<CallResults>,
    test_results: VecDeque<(TestId, Result<ConnectionTest, StoreError>)>,
}

impl Engine {
    /// An engine for the Redis of `config`, whose connections are counted in `stats`. Nothing connects before the first call.
    pub fn new(
        config: RedisConfig,
        stats: Arc<ConnectionStats>,
        random: fastrand::Rng,
        now: Moment,
    ) -> Self {
        // Configured as no cluster: the server is not asked.
        let deployment = match config.cluster {
            Some(false) => Deployment::Standalone,
            _ => Deployment::Unknown,
        };
        let mut engine = Self {
            stats,
            random,
            last_id: 0,
            servers: BTreeMap::new(),
            seed: ServerId(0),
            connections: BTreeMap::new(),
            deployment,
            discovery: None,
            undiscovered: Vec::new(),
            waiting_tests: Vec::new(),
            calls: BTreeMap::new(),
            parts: BTreeMap::new(),
            queries: BTreeMap::new(),
            tests: BTreeMap::new(),
            password_requests: BTreeMap::new(),
            map: ShardMap::one(Some(config.address())),
            generations: Vec::new(),
            limiters: BTreeMap::new(),
            changes: VecDeque::new(),
            limiter_results: VecDeque::new(),
            skipped_probes: Vec::new(),
            sent_replays: Vec::new(),
            completions: Vec::new(),
            closing: 0,
            closed_limiters: VecDeque::new(),
            output: Output::default(),
            timers: Timers::new(),
            refresh_timer: None,
            wishes: VecDeque::new(),
            results: VecDeque::new(),
            test_results: VecDeque::new(),
            config,
        };
        let config = engine.config.clone();
        engine.seed = engine.add_server(config, now);
        engine
    }

    fn new_id<T: From<u64>>(&mut self) -> T {
        self.last_id += 1;
        self.last_id.into()
    }

    fn add_server(&mut self, config: RedisConfig, now: Moment) -> ServerId {
        let id = self.new_id();
        let server = Server::new(id, config, now.steady);
        self.servers.insert(id, server);
        id
    }

    fn new_connection(&mut self, connection: Connection) -> ConnectionId {
        let id = self.new_id();
        self.connections.insert(id, connection);
        id
    }

    fn request_password(
        &mut self,
        purpose: PasswordFor,
        after_rejection: bool,
    ) -> PasswordRequestId {
        let request = self.new_id();
        self.password_requests.insert(request, purpose);
        self.wishes.push_back(Wish::Password {
            request,
            after_rejection,
        });
        request
    }

    fn forget_password(&mut self, request: PasswordRequestId) {
        if self.password_requests.remove(&request).is_some() {
            self.wishes.push_back(Wish::ForgetPassword { request });
        }
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.servers.get(&id.server)?.links.get(id.at)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.servers.get_mut(&id.server)?.links.get_mut(id.at)
    }

    fn set_link_timer(&mut self, id: LinkId, at: Instant) {
        let server = self.servers.get_mut(&id.server);
        if let Some(link) = server.and_then(|server| server.links.get_mut(id.at)) {
            self.timers.set(&mut link.timer, at, Timer::Link(id));
        }
    }

    /// Has the driver send the bytes of a connection.
    fn wish_to_send(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !std::mem::replace(&mut connection.send_wished, true)
        {
            self.wishes.push_back(Wish::Send { connection: id });
        }
    }

    /// Whether there are wishes, completions or results.
    pub fn has_output(&self) -> bool {
        !(self.wishes.is_empty()
            && self.completions.is_empty()
            && self.results.is_empty()
            && self.test_results.is_empty()
            && self.closed_limiters.is_empty())
    }

    /// The next wish.
    pub fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// The next results of a call.
    pub fn next_results(&mut self) -> Option<CallResults> {
        self.results.pop_front()
    }

    /// The next result of a connection test.
    pub fn next_test_result(&mut self) -> Option<(TestId, Result<ConnectionTest, StoreError>)> {
        self.test_results.pop_front()
    }

    /// The moment at which [`advance`](Self::advance) is due.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The bytes to send on a connection. The driver removes those that it has sent.
    pub fn transmit(&mut self, id: ConnectionId) -> Option<&mut Vec<u8>> {
        let connection = self.connections.get_mut(&id)?;
        connection.send_wished = false;
        Some(&mut connection.out)
    }

    /// There is a new connection to a server.
    fn on_connection_made(&mut self, server: ServerId) {
        self.changes.push_back(Change::Connected(server));
    }

    /// The shard map may have changed.
    fn on_map_changed(&mut self) {
        let map = match &self.deployment {
            Deployment::Cluster(cluster) => {
                let topology = &cluster.topology;
                let address = |id: &ServerId| Some(self.servers.get(id)?.config.address());
                let primaries = topology
                    .primaries()
                    .map(|node| node.and_then(|node| address(node)));
                ShardMap::new(topology.shard_of_slot().into(), primaries.collect())
            }
            _ => ShardMap::one(Some(self.config.address())),
        };
        if map != self.map {
            self.map = map;
            self.changes.push_back(Change::Map);
        }
    }

    /// The number of connections made so far to the primary of a shard.
    pub fn connections_made(&self, shard: usize) -> u64 {
        let made = |id: &ServerId| self.servers.get(id).map_or(0, |s| s.connections_made);
        let Deployment::Cluster(cluster) = &self.deployment else {
            return made(&self.seed);
        };
        let node = cluster
            .topology
            .shard(shard)
            .and_then(|s| s.node.as_deref());
        node.map_or(0, made)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let open = self.connections.values().filter(|c| c.open);
        open.for_each(|_| self.stats.closed());
    }
}
