//! The driver and its engine where servers and callers misbehave: TLS sessions that end, passwords that never come, panics, replies in
//! the wrong place.

mod limiters;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use huntaze_rate_limit::driver::{self, Deliver, Driver};
use huntaze_rate_limit::engine::{ConnectionId, Engine, Moment, Results, Wish, Work};
use huntaze_rate_limit::limiter::{Fallback, Local, OnStoreError, RequestId};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{
    Credentials, PasswordAnswer, PasswordSource, RedisConfig, Secret, TlsConfig,
};
use huntaze_rate_limit::store::{ErrorKind, Op, Replay, Request, Scope, StoreError};

use crate::fake_server;
use crate::redis_store::RedisStore;
use crate::requests::{id, limit, plain_rules, scope};

struct World {
    engine: Engine,
    now: Moment,
}

impl World {
    fn new(config: RedisConfig) -> Self {
        let now = Moment {
            steady: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        };
        let rng = fastrand::Rng::with_seed(1);
        Self {
            engine: Engine::new(config, Arc::default(), rng, now),
            now,
        }
    }
    fn pass(&mut self, ms: u64) {
        let by = Duration::from_millis(ms);
        self.now = Moment {
            steady: self.now.steady + by,
            wall: self.now.wall + by,
        };
        self.engine.advance(self.now);
    }
    fn wishes(&mut self) -> Vec<Wish> {
        std::iter::from_fn(|| self.engine.next_wish()).collect()
    }
    fn sent(&mut self, connection: ConnectionId) -> String {
        let bytes = self
            .engine
            .transmit(connection)
            .map(std::mem::take)
            .unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
    fn connects(&mut self) -> Vec<(ConnectionId, SocketAddr)> {
        self.wishes()
            .into_iter()
            .filter_map(|w| match w {
                Wish::Connect {
                    connection,
                    address,
                    ..
                } => Some((connection, address)),
                _ => None,
            })
            .collect()
    }
    fn up(&mut self, connection: ConnectionId) {
        self.engine.accepted(connection, self.now);
        self.engine.connected(connection, self.now);
        assert!(self.sent(connection).contains("PING"));
        self.engine.received(connection, b"+PONG\r\n", self.now);
    }
    fn call(&mut self) {
        self.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), self.now);
    }
    fn results(&mut self) -> Vec<Results> {
        std::iter::from_fn(|| self.engine.next_results())
            .map(|r| r.results)
            .collect()
    }
}

fn hour() -> Arc<Scope> {
    Arc::new(scope("t", plain_rules(3_600_000)))
}
fn check(who: &str) -> Request {
    Request {
        op: Op::Check,
        id: id(who),
        limit: limit(5),
    }
}
const READONLY: &[u8] = b"-READONLY You can't write against a read only replica.\r\n";

/// The tag of the last call in `sent`: the argument of one tag and one byte a request.
fn tag(sent: &str) -> char {
    let lines: Vec<_> = sent.split("\r\n").collect();
    let at = lines.iter().rposition(|l| *l == "check").unwrap();
    lines[at - 2].chars().next().unwrap()
}

/// A server at an address refuses on both connections, and then decides again.
#[test]
fn every_link_of_a_server_at_an_address_comes_back() {
    let mut w = World::new(RedisConfig {
        connections: 2,
        cluster: Some(false),
        ..with_defaults("10.0.0.1")
    });
    let mut links = Vec::new();
    w.call();
    for (c, _) in w.connects() {
        w.up(c);
        links.push(c);
    }
    w.call();
    for (c, _) in w.connects() {
        w.up(c);
        links.push(c);
    }
    assert_eq!(links.len(), 2);
    // Both decide once ...
    w.pass(1);
    for _ in 0..2 {
        w.call();
    }
    for &c in &links {
        let s = w.sent(c);
        for _ in 0..s.matches("EVALSHA").count() {
            // an OOM: decides enough, and keeps the connection
            w.engine.received(c, b"-OOM command not allowed\r\n", w.now);
        }
    }
    w.results();
    // ... and then the server is demoted.
    let mut ready: Vec<ConnectionId> = links.clone();
    let mut log = Vec::new();
    for round in 0..4000 {
        w.pass(50);
        w.call();
        for wish in w.wishes() {
            match wish {
                Wish::Connect { connection, .. } => {
                    w.up(connection);
                    ready.push(connection);
                    log.push((round, "up"));
                }
                Wish::Close { connection } => {
                    ready.retain(|c| *c != connection);
                    log.push((round, "close"));
                }
                _ => {}
            }
        }
        let decides = round > 60;
        for c in ready.clone() {
            let s = w.sent(c);
            let mut replies = Vec::new();
            for _ in 0..s.matches("\r\nPING").count() {
                replies.extend_from_slice(b"+PONG\r\n");
            }
            for _ in 0..s.matches("EVALSHA").count() {
                replies.extend_from_slice(if decides {
                    b"-OOM command not allowed\r\n"
                } else {
                    READONLY
                });
            }
            if !replies.is_empty() {
                w.engine.received(c, &replies, w.now);
            }
        }
        w.results();
    }
    for wish in w.wishes() {
        match wish {
            Wish::Connect { connection, .. } => ready.push(connection),
            Wish::Close { connection } => ready.retain(|c| *c != connection),
            _ => {}
        }
    }
    assert_eq!(ready.len(), 2, "200 s after the server decides again");
}

/// A replay in flight over TLS, whose connection ends with an alert.
#[test]
fn a_replay_cut_off_by_an_alert_may_have_run() {
    let mut w = World::new(RedisConfig {
        cluster: Some(false),
        ..with_defaults("10.0.0.1")
    });
    let replay = Replay {
        id: id("x"),
        reset: None,
        reported: None,
        ages: vec![1],
    };
    w.engine
        .call(hour(), Work::Replays(vec![replay].into()), w.now);
    let (c, _) = w.connects()[0];
    w.up(c);
    assert!(w.sent(c).contains("EVALSHA"));
    // What driver::received_tls reports for a bad record or an alert: tls::refusal(..).
    let alert = StoreError::new(ErrorKind::Tls, "TLS handshake failed: received fatal alert");
    w.engine.closed(c, Some(alert), w.now);
    let results = w.results();
    let [Results::Replays(results)] = &results[..] else {
        panic!()
    };
    let error = results[0].as_ref().unwrap_err();
    assert!(error.may_have_run(), "{error:?}");
}

/// One item of a reply has an error of the kind of a redirect, another was admitted.
#[test]
fn a_batch_that_was_executed_in_part_is_not_sent_again() {
    let mut w = World::new(with_defaults("10.0.0.1"));
    w.engine.call(
        hour(),
        Work::Checks(vec![check("x"), check("y")].into()),
        w.now,
    );
    let (c, _) = w.connects()[0];
    w.up(c);
    assert!(w.sent(c).contains("SLOTS"));
    w.engine.received(
        c,
        b"-ERR This instance has cluster support disabled\r\n",
        w.now,
    );
    let sent = w.sent(c);
    let t = tag(&sent);
    let message = "CROSSSLOT Keys in request don't hash to the same slot";
    let reply = format!(
        "*8\r\n$14\r\n1000000000000{t}\r\n:1\r\n:2\r\n:-1\r\n${}\r\n{message}\r\n:0\r\n:0\r\n:0\r\n",
        message.len()
    );
    w.engine.received(c, reply.as_bytes(), w.now);
    let again = w.sent(c);
    if again.contains("SLOTS") {
        w.engine.received(
            c,
            b"-ERR This instance has cluster support disabled\r\n",
            w.now,
        );
        let again = w.sent(c);
        assert!(
            !again.contains("EVALSHA"),
            "the admitted request is sent again"
        );
    }
}

/// A server that speaks TLS, and does `after` once it has answered the first PING.
fn tls_server(
    names: &str,
    after: impl Fn(&mut rustls::ServerConnection, &mut std::net::TcpStream, usize)
    + Send
    + Sync
    + 'static,
) -> (u16, String, Arc<AtomicUsize>) {
    let key = rcgen::generate_simple_self_signed(vec![names.to_owned()]).unwrap();
    let pem = key.cert.pem();
    let cert = key.cert.der().clone();
    let private =
        rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&accepted);
    let after = Arc::new(after);
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let mut tcp = tcp.unwrap();
            tcp.set_nodelay(true).unwrap();
            let number = counts.fetch_add(1, Ordering::SeqCst);
            let config = Arc::clone(&config);
            let after = Arc::clone(&after);
            thread::spawn(move || {
                let mut session = rustls::ServerConnection::new(config).unwrap();
                let mut buffer = [0; 8192];
                loop {
                    while session.wants_write() {
                        if session.write_tls(&mut tcp).is_err() {
                            return;
                        }
                    }
                    if session.read_tls(&mut tcp).unwrap_or(0) == 0 {
                        return;
                    }
                    if session.process_new_packets().is_err() {
                        return;
                    }
                    let Ok(count) = session.reader().read(&mut buffer) else {
                        continue;
                    };
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    for _ in 0..text.matches("PING").count() {
                        session.writer().write_all(b"+PONG\r\n").unwrap();
                    }
                    for _ in 0..text.matches("EVALSHA").count() {
                        session
                            .writer()
                            .write_all(b"-OOM command not allowed\r\n")
                            .unwrap();
                    }
                    while session.wants_write() {
                        if session.write_tls(&mut tcp).is_err() {
                            return;
                        }
                    }
                    if text.contains("EVALSHA") {
                        after(&mut session, &mut tcp, number);
                    }
                }
            });
        }
    });
    (port, pem, accepted)
}

fn tls_config(port: u16, pem: String) -> RedisConfig {
    RedisConfig {
        port,
        host: "localhost".to_owned(),
        cluster: Some(false),
        tls: Some(TlsConfig {
            ca: Some(pem),
            ..TlsConfig::default()
        }),
        connect_timeout: Duration::from_secs(5),
        ..with_defaults("localhost")
    }
}

fn two_checks(port: u16, pem: String) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let store = RedisStore::new(tls_config(port, pem));
            for n in 0..3 {
                let scope = hour();
                let asked = crate::requests::ask(&store, &scope, Op::Check, "a", 5);
                let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
                sender.send(format!("{n}: {answer:?}")).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    });
    receiver
}

#[test]
fn a_close_notify_ends_the_connection() {
    let (port, pem, accepted) = tls_server("localhost", |session, tcp, _| {
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(tcp).unwrap();
        }
        // The TCP connection stays open, and nothing is read any more.
        thread::sleep(Duration::from_secs(20));
    });
    let receiver = two_checks(port, pem);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(receiver.recv_timeout(Duration::from_secs(5)));
    }
    let decided = |answer: &Result<String, _>| answer.as_ref().is_ok_and(|a| a.contains("Oom"));
    assert!(answers.iter().all(decided), "{answers:?}");
    // One for each check, and perhaps the next.
    assert!(accepted.load(Ordering::SeqCst) >= 3);
}

#[test]
fn bytes_behind_a_close_notify_do_not_hang_the_thread() {
    let (port, pem, _) = tls_server("localhost", |session, tcp, _| {
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(tcp).unwrap();
        }
        thread::sleep(Duration::from_millis(50));
        tcp.write_all(&[0x15, 3, 3, 0, 2, 1, 0]).unwrap();
        thread::sleep(Duration::from_secs(20));
    });
    let receiver = two_checks(port, pem);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(receiver.recv_timeout(Duration::from_secs(5)));
    }
    assert!(answers.iter().all(Result::is_ok), "the I/O thread is stuck");
}

struct Nothing;
impl Deliver for Nothing {
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<> {
        engine.completions().for_each(drop);
        while engine.next_closed_limiter().is_some() {}
        || {}
    }
}

/// As napi's RedisLimiter does when it is dropped with a check in flight.
#[tokio::test]
async fn the_driver_settles_after_the_last_answer() {
    let port = fake_server::server(|bytes, _| {
        let mut out = Vec::new();
        if fake_server::contains(bytes, "PING") {
            out.extend_from_slice(b"+PONG\r\n");
        }
        if fake_server::contains(bytes, "EVALSHA") {
            thread::sleep(Duration::from_millis(100));
            out.extend_from_slice(b"-OOM command not allowed\r\n");
        }
        Some(out)
    });
    let config = RedisConfig {
        cluster: Some(false),
        ..fake_server::config(port)
    };
    let engine = Engine::new(
        config.clone(),
        Arc::default(),
        fastrand::Rng::new(),
        driver::now(),
    );
    let driver = Driver::start(tokio::runtime::Handle::current(), &config, engine, Nothing);
    let scope = scope("t", plain_rules(3_600_000));
    let fallback = Fallback::new(OnStoreError::Throw, scope.rules, Local::default());
    let metrics = Arc::new(Metrics::new(scope.rules.window));
    let id = driver.with(|e, _, now| {
        e.open(
            scope.clone(),
            Duration::from_secs(2).into(),
            fallback,
            metrics,
            now,
        )
    });
    // The connection is there.
    driver.with(|e, _, now| e.submit(id, check("a"), RequestId::default(), now));
    tokio::time::sleep(Duration::from_millis(400)).await;
    driver.with(|e, _, now| e.submit(id, check("a"), RequestId::default(), now));
    assert!(driver.with(|e, _, now| {
        e.close(id, now);
        e.is_busy()
    }));
    let settled = tokio::time::timeout(Duration::from_secs(3), driver.settled()).await;
    assert!(settled.is_ok(), "settled() never resolves");
}

struct Silent(Arc<AtomicUsize>);
struct Alive(Arc<AtomicUsize>);
impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
impl PasswordSource for Silent {
    fn password(&self) -> PasswordAnswer {
        self.0.fetch_add(1, Ordering::SeqCst);
        let alive = Alive(Arc::clone(&self.0));
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok(Secret::new("x"))
        })
    }
}

#[tokio::test]
async fn a_password_that_never_comes_is_not_awaited_for_ever() {
    let alive = Arc::new(AtomicUsize::new(0));
    let config = RedisConfig {
        cluster: Some(false),
        credentials: Credentials::Source(Arc::new(Silent(Arc::clone(&alive)))),
        connect_timeout: Duration::from_millis(20),
        ..with_defaults("127.0.0.1")
    };
    let store = RedisStore::new(config);
    for _ in 0..40 {
        let _ = crate::requests::ask(&store, &hour(), Op::Check, "a", 5).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(alive.load(Ordering::SeqCst) <= 1);
}

/// Calls of several limiters overlap; the server accepts and does not answer CLUSTER SLOTS.
#[test]
fn a_discovery_is_not_awaited_on_a_silent_connection_while_calls_overlap() {
    let mut w = World::new(with_defaults("redis.example"));
    let begin = |w: &mut World| {
        w.engine
            .call(hour(), Work::Checks(vec![check("x")].into()), w.now)
    };
    let mut last = begin(&mut w);
    let Some(Wish::LookUp { server, .. }) = w.wishes().pop() else {
        panic!()
    };
    w.engine
        .looked_up(server, Ok(vec![([10, 0, 0, 1], 6379).into()]), w.now);
    let (c, _) = w.connects()[0];
    w.up(c);
    assert!(w.sent(c).contains("SLOTS"));
    let mut calls = 1;
    for _ in 0..400 {
        w.pass(200);
        let next = begin(&mut w);
        calls += 1;
        w.pass(50);
        w.engine.abandon(last, w.now);
        last = next;
        let sent = w.sent(c);
        let wishes = w.wishes();
        if sent.contains("PING")
            || wishes
                .iter()
                .any(|w| matches!(w, Wish::LookUp { .. } | Wish::Connect { .. }))
        {
            return;
        }
    }
    panic!("100 s, {calls} calls: no health check, no other look-up");
}

/// A reply that refuses arrives while the connection is checked.
#[test]
fn a_refusal_while_a_connection_is_checked_loses_it() {
    let mut w = World::new(RedisConfig {
        cluster: Some(false),
        ..with_defaults("10.0.0.1")
    });
    let first = w
        .engine
        .call(hour(), Work::Checks(vec![check("x")].into()), w.now);
    let (c, _) = w.connects()[0];
    w.up(c);
    w.sent(c);
    let _ = first;
    // Quiet for a second: the next call has the connection checked.
    w.pass(1100);
    w.call();
    assert!(w.sent(c).contains("PING"));
    w.engine.received(c, READONLY, w.now);
    let sent = w.sent(c);
    assert!(
        !sent.contains("EVALSHA"),
        "the second call is sent to the replica"
    );
}

/// A connection test of a server that is away does not make requests wait.
#[test]
fn a_test_does_not_make_requests_wait() {
    let mut w = World::new(RedisConfig {
        cluster: Some(false),
        ..with_defaults("10.0.0.1")
    });
    w.call();
    let (c, _) = w.connects()[0];
    w.engine
        .connect_failed(c, StoreError::new(ErrorKind::Refused, "refused"), w.now);
    assert_eq!(w.results().len(), 1);
    w.call();
    assert_eq!(w.results().len(), 1, "away: at once");
    w.engine
        .test_connection(hour(), Duration::from_secs(5), w.now);
    w.call();
    assert_eq!(w.results().len(), 1, "away, and tested: waits");
}

struct PanicsOnce(Arc<AtomicUsize>, Arc<AtomicUsize>);
impl Deliver for PanicsOnce {
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<> {
        let count = engine.completions().count();
        if count > 0 && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("once");
        }
        self.1.fetch_add(count, Ordering::SeqCst);
        || {}
    }
}

/// One panic in a timer of the engine: later deadlines still fire.
#[tokio::test]
async fn timers_survive_a_panic() {
    let port = fake_server::server(|_, _| Some(Vec::new()));
    let config = RedisConfig {
        cluster: Some(false),
        ..fake_server::config(port)
    };
    let engine = Engine::new(
        config.clone(),
        Arc::default(),
        fastrand::Rng::new(),
        driver::now(),
    );
    let done = Arc::<AtomicUsize>::default();
    let driver = Driver::start(
        tokio::runtime::Handle::current(),
        &config,
        engine,
        PanicsOnce(Arc::default(), Arc::clone(&done)),
    );
    let scope = scope("t", plain_rules(3_600_000));
    let fallback = Fallback::new(OnStoreError::Throw, scope.rules, Local::default());
    let metrics = Arc::new(Metrics::new(scope.rules.window));
    let id = driver.with(|e, _, now| {
        e.open(
            scope.clone(),
            Duration::from_millis(100).into(),
            fallback,
            metrics,
            now,
        )
    });
    driver.with(|e, _, now| e.submit(id, check("a"), RequestId::default(), now));
    tokio::time::sleep(Duration::from_millis(300)).await;
    driver.with(|e, _, now| e.submit(id, check("b"), RequestId::default(), now));
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(
        done.load(Ordering::SeqCst),
        1,
        "the second check never settles"
    );
}

/// The nodes of a cluster send a key in circles with ASK: the topology is read again, as before.
#[test]
fn a_circle_of_ask_requests_a_refresh() {
    let mut w = World::new(with_defaults("10.0.0.1"));
    w.call();
    let (c, _) = w.connects()[0];
    w.up(c);
    w.sent(c);
    let slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$8\r\n10.0.0.1\r\n:6379\r\n";
    w.engine.received(c, slots, w.now);
    w.pass(600);
    assert!(w.sent(c).contains("EVALSHA"));
    w.engine.received(c, b"-ASK 1 10.0.0.1:6379\r\n", w.now);
    for _ in 0..8 {
        assert!(w.sent(c).contains("ASKING"));
        w.engine
            .received(c, b"+OK\r\n-ASK 1 10.0.0.1:6379\r\n", w.now);
    }
    w.pass(500);
    assert!(w.sent(c).contains("SLOTS"), "no refresh");
}
