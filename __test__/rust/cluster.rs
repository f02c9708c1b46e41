//! A real Redis Cluster, three primaries with a replica each, started by the tests on free ports, gone with them.
//!
//! Every node is started with the whole cluster in its `nodes.conf`, as after a restart: nobody has to meet anybody, no
//! replica has to be assigned. What is left are the two seconds for which a primary of Redis takes no command after its start.

mod changes;
mod layout;
mod moving;
mod selfcheck;
mod view;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use huntaze_rate_limit::store::redis::environment::plain;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore, TlsConfig};
use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

use self::layout::Layout;
use crate::redis::certificates::{Authority, Files};
use crate::server::Server;
use crate::users::{ADMIN, ADMIN_PASSWORD, as_user, users};

pub use self::layout::{SHARDS, slot_of};

/// Far more than anything here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// After how long without an answer a node counts as failed.
    pub node_timeout: Duration,
    /// What every node is started with besides.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: false,
            users: false,
            host_names: false,
            names: vec!["localhost", "127.0.0.1"],
            node_timeout: Duration::from_secs(1),
            arguments: Vec::new(),
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
}

impl Cluster {
    /// A plain one, for everybody.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        for _ in 0..5 {
            // Somebody else may take one of the ports in between.
            match Self::launch(options.clone()) {
                Ok(mut cluster) => {
                    cluster.pids = cluster.ports().iter().map(|&p| cluster.pid(p)).collect();
                    cluster.settle();
                    return cluster;
                }
                Err(log) => println!("{log}"),
            }
        }
        panic!("redis-server does not start; its last words are above");
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
            ..plain("localhost")
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

    fn launch(options: Options) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports(4 * SHARDS);
        let layout = Layout::new(&ports, options.host_names);
        let authority = options.tls.then(Authority::new);
        let certificate = authority.as_ref().map(|a| a.certify(&options.names));
        let ca = authority.map(|authority| authority.pem);
        let mut common = options.arguments.clone();
        if options.users {
            common.extend(users(folder.path()));
        }
        let servers = scope(|scope| {
            let nodes: Vec<_> = (0..2 * SHARDS)
                .map(|node| {
                    let mut arguments = layout.arguments(node, folder.path());
                    arguments.extend(options.arguments_of(layout.ports[node], &certificate));
                    arguments.extend(common.clone());
                    let port = layout.ports[node];
                    arguments.extend(["--unixsocket".to_owned(), socket(folder.path(), port)]);
                    scope.spawn(move || Server::start_on(port, arguments))
                })
                .collect();
            nodes
                .into_iter()
                .map(|node| node.join().unwrap())
                .collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Self {
            servers,
            layout,
            options,
            _certificate: certificate,
            ca,
            pids: Vec::new(),
            silent: Mutex::new(BTreeSet::new()),
            folder,
        })
    }

    fn pid(&self, port: u16) -> String {
        let text: String = self.command(port, &["INFO", "server"]);
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("process_id:"));
        pid.unwrap().to_owned()
    }

    /// Waits until every node serves and every replica follows.
    fn settle(&self) {
        self.until("the cluster does not settle", || {
            self.speaking().into_iter().all(|port| {
                let says = |command: &[&str], words: &str| {
                    let answer = self.try_command::<String>(port, command);
                    answer.is_ok_and(|text| text.contains(words))
                };
                says(&["CLUSTER", "INFO"], "cluster_state:ok")
                    && (says(&["INFO", "replication"], "role:master")
                        || says(&["INFO", "replication"], "master_link_status:up"))
            })
        });
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
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < PATIENCE, "{otherwise}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Options {
    fn arguments_of(&self, port: u16, certificate: &Option<Files>) -> Vec<String> {
        let timeout = self.node_timeout.as_millis().to_string();
        let port = port.to_string();
        let mut arguments = vec!["--cluster-node-timeout", &timeout];
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

/// Ports that are free at the moment, all at once, so that they differ.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap())
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    listeners.iter().map(port).collect()
}
