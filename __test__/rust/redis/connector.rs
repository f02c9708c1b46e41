//! Connecting: when, how often, for how long, and the error when it fails.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use socket2::{Domain, Socket, Type};

use super::server_errors::connections_ever;
use super::{PATIENT, check, failure, passwords, take_slot};
use crate::server::Server;
use crate::timers::StoppedTimers;

/// A store at `port`, which must connect within `budget`.
fn at(port: u16, budget: Duration) -> RedisStore {
    let mut config = with_defaults("127.0.0.1");
    config.port = port;
    config.connect_timeout = budget;
    RedisStore::new(config)
}

#[tokio::test]
async fn a_port_without_a_listener_refuses() {
    // Bound but not listening: the port stays reserved, and refuses.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let error = check(&at(port, PATIENT), "a").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Refused, "ECONNREFUSED")
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_found() {
    // No name has two dots in a row, so no resolver is queried.
    let mut config = with_defaults("no..such.host");
    config.connect_timeout = PATIENT;
    let error = check(&RedisStore::new(config), "a").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::NotFound, "ENOTFOUND")
    );
}

/// The kernel accepts the connection, and no reply ever comes: with a password to send, and without.
#[tokio::test]
async fn a_black_hole_ends_with_the_budget() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let budget = Duration::from_millis(200);
    for secret in [&["pw"][..], &[]] {
        let mut config = with_defaults("127.0.0.1");
        config.port = listener.local_addr().unwrap().port();
        config.connect_timeout = budget;
        config.credentials = passwords(secret);
        let store = RedisStore::new(config);
        let begun = Instant::now();
        for attempt in 0..2 {
            let waited = {
                let check = check(&store, "a");
                tokio::pin!(check);
                // Only the first check waits for an attempt; the others are made in the background.
                match futures_util::poll!(&mut check) {
                    Poll::Ready(result) if attempt > 0 => Ok(result),
                    Poll::Pending if attempt == 0 => tokio::time::timeout(PATIENT, check).await,
                    _ => panic!("attempt {attempt}"),
                }
            };
            assert!(begun.elapsed() >= budget);
            let error = waited.expect("within the budget").unwrap_err();
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Timeout, "ETIMEDOUT")
            );
            // TLS is the second likeliest reason.
            let message = error.to_string();
            assert!(
                message.starts_with("no connection within 200 ms: "),
                "{message}"
            );
            assert!(message.contains("it hangs, or speaks TLS"), "{message}");
        }
    }
}

/// An attempt that is given up closes its socket: no descriptor leaks.
#[tokio::test]
async fn an_attempt_given_up_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = at(
        listener.local_addr().unwrap().port(),
        Duration::from_millis(50),
    );
    assert_eq!(failure(&store).await, ErrorKind::Timeout);
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENT)).unwrap();
    // The bytes that were sent, then the end.
    let closed = tokio::task::spawn_blocking(move || peer.read_to_end(&mut Vec::new()));
    closed.await.unwrap().expect("an end");
}

/// Even if it has much time left: no check waits for it any more.
#[tokio::test]
async fn an_attempt_ends_with_its_store() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let budget = PATIENT * 60;
    let store = at(listener.local_addr().unwrap().port(), budget);
    let waited = tokio::time::timeout(Duration::from_millis(50), check(&store, "a")).await;
    assert!(waited.is_err(), "it has {budget:?}");
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENT)).unwrap();
    drop(store);
    let closed = tokio::task::spawn_blocking(move || peer.read_to_end(&mut Vec::new()));
    closed
        .await
        .unwrap()
        .expect("an end long before the budget is over");
}

/// A server that replies to the first bytes of a connection with `words`, and closes it.
fn parrot(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        // Two connects a test at most; the thread ends with the process otherwise.
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(words);
        }
    });
    port
}

#[tokio::test]
async fn a_server_of_another_protocol_is_an_error() {
    let web = at(parrot(b"HTTP/1.1 400 Bad Request\r\n\r\n"), PATIENT);
    assert_eq!(failure(&web).await, ErrorKind::Protocol);
    let silent = at(parrot(b""), PATIENT);
    assert_eq!(failure(&silent).await, ErrorKind::Disconnected);
}

#[tokio::test]
async fn nothing_connects_before_the_first_request() {
    let _stopped = StoppedTimers::new();
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let before = connections_ever(&mut admin);
    let mut config = server.config();
    config.connections = 3;
    let store = RedisStore::new(config);
    assert_eq!(connections_ever(&mut admin), before);
    // Then one connection for each request, up to the configured number.
    for connections in [1, 2, 3, 3, 3] {
        take_slot(&store, "a").await;
        assert_eq!(connections_ever(&mut admin), before + connections);
    }
}

#[tokio::test]
async fn concurrent_requests_share_one_connect() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let before = connections_ever(&mut admin);
    let store = server.store();
    let crowd = (0..20).map(|i| {
        let (store, who) = (&store, i.to_string());
        async move { take_slot(store, &who).await }
    });
    let answers = futures_util::future::join_all(crowd).await;
    assert_eq!(answers, [4; 20]);
    assert_eq!(connections_ever(&mut admin), before + 1);
}

/// A check that gives up leaves the attempt to the others: a deadline shorter than a connect does not start it over each time.
#[tokio::test]
async fn a_connect_outlives_its_check() {
    let server = Server::start(&[]);
    let mut admin = server.admin();
    let before = connections_ever(&mut admin);
    let store = server.store();
    {
        let first = check(&store, "a");
        tokio::pin!(first);
        // Polled once: the attempt has begun, and its check is dropped.
        assert!(futures_util::poll!(&mut first).is_pending());
    }
    assert_eq!(take_slot(&store, "a").await, 4);
    assert_eq!(connections_ever(&mut admin), before + 1);
}
