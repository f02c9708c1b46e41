//! A real Redis Cluster, three primaries with a replica each, that the tests start on free ports, and that ends with them.
//!
//! Every node is started with the whole cluster in its `nodes.conf`, as after a restart: no node has to meet another, no
//! replica has to be assigned. The start then takes the two seconds in which a primary of Redis accepts no command.

mod cluster_nodes;
mod failover;
mod nodes_conf;
mod selfcheck;
mod slot_migration;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{RedisConfig, TlsConfig};
use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use self::nodes_conf::Layout;
use crate::acl::{ADMIN, ADMIN_PASSWORD, as_user, users};
use crate::redis::certificates::{Authority, Files};
use crate::server::{Port, Server, share};

pub use self::nodes_conf::{SHARDS, slot_of};

/// Far longer than any step here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kind of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// TLS alone, among the nodes too: there is no plain port. The certificate is for `names`.
    pub tls: bool,
    /// Users: the default one is off, the limiter's has the rights it needs.
    pub users: bool,
    /// Every node announces the host name `localhost` instead of its IP address.
    pub host_names: bool,
    /// The names in the certificate.
    pub names: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: false,
            users: false,
            host_names: false,
            names: vec!["localhost", "127.0.0.1"],
        }
    }
}

/// The nodes, with their folder.
pub struct Cluster {
    /// The primaries first, then the replica of each, as they were at the start.
    servers: Vec<Server>,
    layout: Layout,
    options: Options,
    _certificate: Option<Files>,
    /// The authority's certificate, where there is TLS.
    pub ca: Option<String>,
    /// Of the servers, in their order.
    pids: Vec<String>,
    /// The nodes that were killed or stopped, and are not to be queried.
    unavailable: Mutex<BTreeSet<u16>>,
    folder: TempDir,
    /// The ports of the cluster bus: the servers hold their own.
    _reserved: Vec<Port>,
}

/// After how long without an answer a node counts as failed, in ms. Longer than a machine delays a process: a replica takes
/// over only when a test says so.
const NODE_TIMEOUT: &str = "120000";

/// The cluster shared by tests that leave it unchanged. Each uses a namespace or ids of its own.
pub fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

impl Cluster {
    /// A cluster without TLS and users.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let mut cluster = Self::launch(options);
        cluster.pids = cluster.ports().iter().map(|&p| cluster.pid(p)).collect();
        cluster.until("the cluster does not come up", || cluster.is_settled());
        cluster
    }

    /// The port of the node that a store connects to first.
    pub fn seed(&self) -> u16 {
        self.layout.ports[0]
    }

    /// The ports of all nodes.
    pub fn ports(&self) -> &[u16] {
        &self.layout.ports
    }

    /// The configuration of a store that connects to it.
    pub fn config(&self) -> RedisConfig {
        let config = RedisConfig {
            port: self.seed(),
            tls: self.ca.clone().map(|ca| TlsConfig {
                ca: Some(ca),
                ..TlsConfig::default()
            }),
            // A busy machine is no failure; tests about the budget set their own.
            connect_timeout: Duration::from_secs(10),
            ..with_defaults("localhost")
        };
        if self.options.users {
            as_user(config)
        } else {
            config
        }
    }

    pub fn store(&self) -> RedisStore {
        RedisStore::new(self.config())
    }

    /// Runs a command of the test's own on the node on `port`.
    pub fn command<T: FromRedisValue>(&self, port: u16, command: &[&str]) -> T {
        self.try_command(port, command)
            .unwrap_or_else(|error| panic!("{command:?} on {port}: {error}"))
    }

    pub fn try_command<T: FromRedisValue>(&self, port: u16, command: &[&str]) -> RedisResult<T> {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut self.admin(port)?)
    }

    /// A connection of the test's own to the node on `port`: by its Unix socket, without TLS and redirects.
    pub fn admin(&self, port: u16) -> RedisResult<redis::Connection> {
        let user = if self.options.users {
            format!("?user={ADMIN}&pass={ADMIN_PASSWORD}")
        } else {
            String::new()
        };
        let socket = socket(self.folder.path(), port);
        let client = redis::Client::open(format!("redis+unix://{socket}{user}"))?;
        let connection = client.get_connection()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    fn launch(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ports: Vec<_> = (0..4 * SHARDS).map(|_| Port::reserve()).collect();
        let numbers: Vec<_> = ports.iter().map(|port| port.number).collect();
        let layout = Layout::new(&numbers, options.host_names);
        let authority = options.tls.then(Authority::new);
        let certificate = authority.as_ref().map(|a| a.certify(&options.names));
        let ca = authority.map(|authority| authority.pem);
        let common = match options.users {
            true => users(folder.path()),
            false => Vec::new(),
        };
        let buses = ports.split_off(2 * SHARDS);
        let servers = scope(|scope| {
            let nodes: Vec<_> = ports
                .into_iter()
                .enumerate()
                .map(|(node, reserved)| {
                    let mut arguments = layout.arguments(node, folder.path());
                    arguments.extend(options.arguments_of(layout.ports[node], &certificate));
                    arguments.extend(common.clone());
                    let port = layout.ports[node];
                    arguments.extend(["--unixsocket".to_owned(), socket(folder.path(), port)]);
                    scope.spawn(move || Server::start_on(reserved, arguments))
                })
                .collect();
            nodes.into_iter().map(|node| node.join().unwrap()).collect()
        });
        Self {
            servers,
            layout,
            options,
            _certificate: certificate,
            ca,
            pids: Vec::new(),
            unavailable: Mutex::new(BTreeSet::new()),
            folder,
            _reserved: buses,
        }
    }

    fn pid(&self, port: u16) -> String {
        let text: String = self.command(port, &["INFO", "server"]);
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"));
        pid.unwrap().to_owned()
    }

    /// Waits until all live nodes serve, agree on the cluster, and follow their primaries. A node that has not yet heard of a
    /// change refuses the next one (`I'm not the owner of hash slot`), or does something else.
    fn settle(&self) {
        self.until_gossiped("the cluster does not settle", || self.is_settled());
    }

    fn is_settled(&self) -> bool {
        let live = self.live();
        let serves = |&port: &u16| self.says(port, &["CLUSTER", "INFO"], "cluster_state:ok");
        live.iter().all(serves) && self.agree() && live.iter().all(|&p| self.follows(p))
    }

    /// Polls until the condition holds, with faster gossip meanwhile: nodes send it when they have not heard from each other
    /// for half of their time-out.
    fn until_gossiped(&self, otherwise: &str, so: impl Fn() -> bool) {
        if so() {
            return;
        }
        let live = self.live();
        let time_out = |ms| {
            for &port in &live {
                let set = ["CONFIG", "SET", "cluster-node-timeout", ms];
                let () = self.command(port, &set);
            }
        };
        time_out("1000");
        self.until(otherwise, so);
        time_out(NODE_TIMEOUT);
    }

    /// Whether that node is a primary, is in sync with its primary, or has lost it.
    fn follows(&self, port: u16) -> bool {
        let says = |words| self.says(port, &["INFO", "replication"], words);
        let primary = self.primary_of(port);
        says("master_link_status:up") && primary.is_some()
            || says("role:master") && primary.is_none()
            || primary.is_some_and(|primary| self.unavailable().contains(&primary))
    }

    fn says(&self, port: u16, command: &[&str], words: &str) -> bool {
        let answer = self.try_command::<String>(port, command);
        answer.is_ok_and(|text| text.contains(words))
    }

    /// The nodes that were neither killed nor stopped.
    fn live(&self) -> Vec<u16> {
        let unavailable = self.unavailable();
        let is_live = |port: &u16| !unavailable.contains(port);
        self.ports().iter().copied().filter(is_live).collect()
    }

    fn unavailable(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.unavailable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, port: u16) -> usize {
        self.ports().iter().position(|&one| one == port).unwrap()
    }

    /// Polls until the condition holds: gossip reaches all nodes by itself.
    fn until(&self, otherwise: &str, so: impl Fn() -> bool) {
        self.until_some(otherwise, || so().then_some(()));
    }

    fn until_some<T>(&self, otherwise: &str, found: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(it) = found() {
                return it;
            }
            assert!(begun.elapsed() < PATIENCE, "{otherwise}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Options {
    fn arguments_of(&self, port: u16, certificate: &Option<Files>) -> Vec<String> {
        let port = port.to_string();
        let mut arguments = vec!["--cluster-node-timeout", NODE_TIMEOUT];
        if let Some(certificate) = certificate {
            arguments.extend(["--port", "0", "--tls-port", &port]);
            arguments.extend(["--tls-cluster", "yes", "--tls-replication", "yes"]);
            arguments.extend(certificate.arguments());
        }
        if self.host_names {
            arguments.extend(["--cluster-announce-hostname", "localhost"]);
            arguments.extend(["--cluster-preferred-endpoint-type", "hostname"]);
        }
        arguments.into_iter().map(str::to_owned).collect()
    }
}

fn socket(folder: &Path, port: u16) -> String {
    let socket = folder.join(format!("{port}.sock"));
    socket.to_str().unwrap().to_owned()
}
