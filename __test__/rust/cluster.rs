//! A real Redis Cluster, three primaries with a replica each, started by the tests on free ports, gone with them.
//!
//! Every node is started with the whole cluster in its `nodes.conf`, as after a restart: nobody has to meet anybody, no
//! replica has to be assigned. What is left are the two seconds for which a primary of Redis takes no command after its start.

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

use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore, TlsConfig};
use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use self::nodes_conf::Layout;
use crate::acl::{ADMIN, ADMIN_PASSWORD, as_user, users};
use crate::redis::certificates::{Authority, Files};
use crate::server::{Port, Server, share};

pub use self::nodes_conf::{SHARDS, slot_of};

/// Far more than anything here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What kind of cluster it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// TLS alone, among the nodes too: there is no plain port. The certificate is for `names`.
    pub tls: bool,
    /// Users: the default one is off, the limiter's has the rights it needs.
    pub users: bool,
    /// Every node says it is `localhost`, instead of its address.
    pub host_names: bool,
    /// What the certificate is for.
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
    /// Who was killed or stopped, and is not to be asked.
    silent: Mutex<BTreeSet<u16>>,
    folder: TempDir,
    /// Of the buses: the servers hold their own.
    _reserved: Vec<Port>,
}

/// After how long without an answer a node counts as failed, in ms. Longer than a machine makes a process wait: a replica
/// takes over when a test says so.
const NODE_TIMEOUT: &str = "120000";

/// The one that tests share who leave it as it is; each keeps to a namespace or to ids of its own.
pub fn shared() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    share(&SHARED, Cluster::start)
}

impl Cluster {
    /// A plain one, for everybody.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let mut cluster = Self::launch(options);
        cluster.pids = cluster.ports().iter().map(|&p| cluster.pid(p)).collect();
        cluster.until("the cluster does not come up", || cluster.is_settled());
        cluster
    }

    /// The port of a node to begin with.
    pub fn seed(&self) -> u16 {
        self.layout.ports[0]
    }

    /// The ports of all nodes.
    pub fn ports(&self) -> &[u16] {
        &self.layout.ports
    }

    /// Where it is, for a store.
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

    /// What the node on `port` answers to a command of the test's own.
    pub fn command<T: FromRedisValue>(&self, port: u16, command: &[&str]) -> T {
        self.try_command(port, command)
            .unwrap_or_else(|error| panic!("{command:?} on {port}: {error}"))
    }

    pub fn try_command<T: FromRedisValue>(&self, port: u16, command: &[&str]) -> RedisResult<T> {
        redis::cmd(command[0])
            .arg(&command[1..])
            .query(&mut self.admin(port)?)
    }

    /// A connection of the test's own to the node on `port`: by its socket, where neither TLS nor redirections are.
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
            silent: Mutex::new(BTreeSet::new()),
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

    /// Waits until all nodes that can be asked serve, say the same of the cluster, and follow their primaries. A node that has
    /// not heard yet of what it is asked about refuses (`I'm not the owner of hash slot`), or does something else.
    fn settle(&self) {
        self.hurry("the cluster does not settle", || self.is_settled());
    }

    fn is_settled(&self) -> bool {
        let speaking = self.speaking();
        let serves = |&port: &u16| self.says(port, &["CLUSTER", "INFO"], "cluster_state:ok");
        speaking.iter().all(serves) && self.agree() && speaking.iter().all(|&p| self.follows(p))
    }

    /// Asks until it is so, and has the nodes tell each other sooner meanwhile: they do when they have not heard from each
    /// other for half of their time-out.
    fn hurry(&self, otherwise: &str, so: impl Fn() -> bool) {
        if so() {
            return;
        }
        let speaking = self.speaking();
        let time_out = |ms| {
            for &port in &speaking {
                let set = ["CONFIG", "SET", "cluster-node-timeout", ms];
                let () = self.command(port, &set);
            }
        };
        time_out("1000");
        self.until(otherwise, so);
        time_out(NODE_TIMEOUT);
    }

    /// Whether that node is a primary, or has what its primary has, or has lost it.
    fn follows(&self, port: u16) -> bool {
        let says = |words| self.says(port, &["INFO", "replication"], words);
        let primary = self.primary_of(port);
        says("master_link_status:up") && primary.is_some()
            || says("role:master") && primary.is_none()
            || primary.is_some_and(|primary| self.silent().contains(&primary))
    }

    fn says(&self, port: u16, command: &[&str], words: &str) -> bool {
        let answer = self.try_command::<String>(port, command);
        answer.is_ok_and(|text| text.contains(words))
    }

    /// The nodes that were neither killed nor stopped.
    fn speaking(&self) -> Vec<u16> {
        let silent = self.silent();
        let speaks = |port: &u16| !silent.contains(port);
        self.ports().iter().copied().filter(speaks).collect()
    }

    fn silent(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, port: u16) -> usize {
        self.ports().iter().position(|&one| one == port).unwrap()
    }

    /// Asks until it is so: nodes tell each other by themselves, and nobody else.
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
