//! Real Redis servers, started by the tests on free ports, gone with them.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::sleep;
use std::time::{Duration, Instant};

use huntaze_rate_limit::store::redis::environment::plain;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};
use tempfile::TempDir;

/// How long a server may take to start: far more than it does, so that a busy machine is no failure.
const START: Duration = Duration::from_secs(20);

/// Starts the server as a child of a shell that kills it once its own standard input closes: that happens on drop, but
/// also when the test process is killed and drops nothing.
const GUARD: &str =
    r#""$@" & server=$!; cat >/dev/null; kill -9 $server; wait $server 2>/dev/null"#;

/// One server with its folder.
pub struct Server {
    guard: Mutex<Option<Child>>,
    folder: TempDir,
    arguments: Vec<String>,
    pub port: u16,
}

/// The server that tests share who do it no harm; each keeps to a namespace of its own.
pub fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    // A static is never dropped: the tests hold the server, and the last one takes it along.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start(&[]));
        *shared = Arc::downgrade(&server);
        server
    })
}

impl Server {
    /// A server with `arguments` besides those every server has.
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|&a| a.to_owned()).collect();
        for _ in 0..5 {
            // Somebody else may take the port in between.
            match Self::start_on(free_port(), arguments.clone()) {
                Ok(server) => return server,
                Err(log) => println!("{log}"),
            }
        }
        panic!("redis-server does not start; its last words are above");
    }

    /// The same on a port that others have been told of already; what it logged, if it does not start there.
    pub fn start_on(port: u16, arguments: Vec<String>) -> Result<Self, String> {
        require_redis();
        let server = Self {
            guard: Mutex::new(None),
            folder: tempfile::tempdir().unwrap(),
            arguments,
            port,
        };
        if server.run() {
            Ok(server)
        } else {
            Err(server.log())
        }
    }

    /// Starts it again on the same port, after [`Server::kill`].
    pub fn restart(&self) {
        assert!(
            self.run(),
            "redis-server does not start again: {}",
            self.log()
        );
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

    /// Where it is, for a store.
    pub fn config(&self) -> RedisConfig {
        RedisConfig {
            port: self.port,
            // A busy machine is no failure; tests about the budget set their own.
            connect_timeout: Duration::from_secs(10),
            ..plain("127.0.0.1")
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

    fn run(&self) -> bool {
        let folder = self.folder.path().to_str().unwrap();
        // Not there at the first start; at the next one its old words would mislead.
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
        while begun.elapsed() < START {
            if self.answers() {
                return true;
            }
            if self.log().contains("Failed listening") {
                break;
            }
            sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    /// Whether the one that answers is this server, with or without a password, and not a stranger on the port.
    fn answers(&self) -> bool {
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

/// A port that is free at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
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
