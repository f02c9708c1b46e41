//! Real Redis servers that the tests start on free ports, and that end with them.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// How long a server may take to start: far more than it does, so that a busy machine is no failure.
const START: Duration = Duration::from_secs(60);

/// Starts the server as a child of a shell that kills it once its own standard input closes: that happens on drop, but
/// also when the test process is killed and drops nothing.
const GUARD: &str =
    r#""$@" & server=$!; cat >/dev/null; kill -9 $server; wait $server 2>/dev/null"#;

/// A server with its folder.
pub struct Server {
    guard: Mutex<Option<Child>>,
    folder: TempDir,
    arguments: Vec<String>,
    pub port: u16,
    _reserved: Port,
}

/// A port of 127.0.0.1 that no other socket is given while this lives, in this process or another: it is bound, and refuses
/// connections until a server listens. A port that is only known to be free may be taken by another test before the server
/// has started, or while it is down. (Systems other than Linux allow no more than that.)
pub struct Port {
    pub number: u16,
    bound: Option<Socket>,
}

impl Port {
    pub fn reserve() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // The server sets it, too: Linux lets two such sockets share a port while one of them does not listen.
        bound.set_reuse_address(true).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        bound.bind(&any.into()).unwrap();
        let number = bound.local_addr().unwrap().as_socket().unwrap().port();
        let bound = cfg!(target_os = "linux").then_some(bound);
        Self { number, bound }
    }

    /// From now on the test itself listens on the port.
    pub fn listen(self) -> TcpListener {
        let Some(bound) = self.bound else {
            return TcpListener::bind(("127.0.0.1", self.number)).unwrap();
        };
        bound.listen(128).unwrap();
        bound.into()
    }
}

/// The server shared by tests that do it no harm. Each uses a namespace of its own.
pub fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    share(&SHARED, || Server::start(&[]))
}

/// Starts what tests share while any of them runs. A static is never dropped, so the tests own it, and the last one drops it.
pub fn share<T>(shared: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    // A failed start leaves nothing behind, so a poisoned lock is fine.
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *shared = Arc::downgrade(&started);
        started
    })
}

impl Server {
    /// A server with `arguments` besides the usual ones.
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&a| a.to_owned()).collect();
        Self::start_on(Port::reserve(), arguments)
    }

    /// The same on a port that is already in use in other configurations.
    pub fn start_on(port: Port, arguments: Vec<String>) -> Self {
        require_redis();
        let server = Self {
            guard: Mutex::new(None),
            folder: tempfile::tempdir().unwrap(),
            arguments,
            port: port.number,
            _reserved: port,
        };
        server.run();
        server
    }

    /// Starts it again on the same port, after [`Server::kill`].
    pub fn restart(&self) {
        self.run();
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        let guard = self
            .guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut guard) = guard {
            drop(guard.stdin.take());
            guard.wait().unwrap();
        }
    }

    /// The configuration of a store that connects to it.
    pub fn config(&self) -> RedisConfig {
        RedisConfig {
            port: self.port,
            // A busy machine is no failure; tests about the budget set their own.
            connect_timeout: Duration::from_secs(10),
            ..with_defaults("127.0.0.1")
        }
    }

    pub fn store(&self) -> RedisStore {
        RedisStore::new(self.config())
    }

    /// A connection of the test's own.
    pub fn admin(&self) -> redis::Connection {
        self.admin_as("")
    }

    /// A connection of the test's own, by `:password@` or the like.
    pub fn admin_as(&self, user: &str) -> redis::Connection {
        let url = format!("redis://{user}127.0.0.1:{}", self.port);
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    fn run(&self) {
        let folder = self.folder.path().to_str().unwrap();
        // The file does not exist at the first start. At the next one its old lines would mislead.
        let _ = fs::remove_file(self.folder.path().join("server.log"));
        let port = self.port.to_string();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh", "redis-server", "--port", &port])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", folder, "--logfile", "server.log"])
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.guard.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        let begun = Instant::now();
        while !self.accepts() {
            let log = self.log();
            let failed = begun.elapsed() >= START || log.contains("Failed listening");
            assert!(!failed, "redis-server does not start: {log}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Whether this server accepts connections, with or without a password, and not another process on the port.
    fn accepts(&self) -> bool {
        let ready = self.log().contains("Ready to accept connections");
        ready && std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A missing server is a failure, never a skip.
fn require_redis() {
    let version = Command::new("redis-server").arg("--version").output();
    match version {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("redis-server is missing; install it: apt-get install redis-server")
        }
        other => assert!(
            other.unwrap().status.success(),
            "redis-server --version fails"
        ),
    }
}
