//! TLS to a plain-text server, and plain text to a TLS server: the mismatch is detected, and distinguished from a hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::redis_store::RedisStore;
use futures_util::future::join_all;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::{RedisConfig, TlsConfig};

use super::certificates::Authority;
use super::tls::config;
use super::{check, passwords, take_slot};
use crate::fake_server::{contains, server};
use crate::server::Server;
use crate::starvation::retry_if_starved;
use crate::timers::StoppedTimers;

/// Half of it waits for a reply, and the other half probes the other protocol: far more than that takes.
const BUDGET: Duration = Duration::from_secs(10);

/// The budget of the tests that wait for its end, and how much later the error must come.
const SHORT: Duration = Duration::from_secs(2);
const MOMENT: Duration = Duration::from_secs(1);

/// The error of a check, which has to come within the budget of a connect and a moment.
async fn failing(mut config: RedisConfig, budget: Duration) -> (ErrorKind, String) {
    config.connect_timeout = budget;
    let begun = Instant::now();
    let error = check(&RedisStore::new(config), "a").await.unwrap_err();
    assert!(begun.elapsed() < budget + MOMENT, "{error}");
    (error.kind(), error.to_string())
}

/// The error of a check while no timer fires: the detection needs none.
async fn failing_at_once(mut config: RedisConfig) -> (ErrorKind, String) {
    let _stopped = StoppedTimers::new();
    config.connect_timeout = BUDGET;
    let error = check(&RedisStore::new(config), "a").await.unwrap_err();
    (error.kind(), error.to_string())
}

/// The configuration for a server at `port`, with TLS or without.
fn to(port: u16, tls: bool) -> RedisConfig {
    RedisConfig {
        tls: tls.then(TlsConfig::default),
        ..crate::fake_server::config(port)
    }
}

/// Redis takes the beginning of a handshake for an inline command, and waits for its end.
#[tokio::test]
async fn tls_to_a_plain_server() {
    let server = Server::start(&[]);
    let with_password = Server::start(&["--requirepass", "pw"]);
    let failing = [&server, &with_password].map(|server| failing(to(server.port, true), BUDGET));
    for (kind, message) in join_all(failing).await {
        assert_eq!(kind, ErrorKind::Tls, "{message}");
        assert!(message.contains("speaks plain Redis"), "{message}");
        assert!(message.contains("; turn its encryption on"), "{message}");
    }
}

/// Redis resets the connection.
#[tokio::test]
async fn plain_text_to_a_tls_server() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    let mut plain = config(&server, "localhost", None);
    plain.tls = None;
    plain.credentials = passwords(&["correct-horse"]);
    for host in ["localhost", "127.0.0.1"] {
        plain.host = host.to_owned();
        let (kind, message) = failing_at_once(plain.clone()).await;
        assert_eq!(kind, ErrorKind::Tls, "{message}");
        assert!(message.contains("; use rediss://, or set tls"), "{message}");
        assert!(!message.contains("horse"), "{message}");
    }
}

/// The beginning of a TLS server's reply to a handshake.
const SERVER_HELLO: &[u8] = &[0x16, 0x03, 0x03, 0x00, 0x7a];

/// As ElastiCache does: it takes the plain text for a handshake, and waits for the rest.
#[tokio::test]
async fn plain_text_to_a_tls_server_that_waits() {
    let port = server(|_, tls| Some(if tls { SERVER_HELLO } else { b"" }));
    let (kind, message) = failing(to(port, false), BUDGET).await;
    assert_eq!(kind, ErrorKind::Tls, "{message}");
    assert!(message.contains("speaks TLS"), "{message}");
}

/// As other TLS servers do.
#[tokio::test]
async fn plain_text_that_is_answered_with_an_alert() {
    let port = server(|_, _| Some(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]));
    let (kind, message) = failing_at_once(to(port, false)).await;
    assert_eq!(kind, ErrorKind::Tls, "{message}");
}

#[tokio::test]
async fn a_plain_server_that_hangs_up_on_a_handshake() {
    let port = server(|_, tls| (!tls).then_some(b"+PONG\r\n"));
    let (kind, message) = failing_at_once(to(port, true)).await;
    assert_eq!(kind, ErrorKind::Tls, "{message}");
}

/// A TLS server at its client limit hangs up, too.
#[tokio::test]
async fn a_server_that_hangs_up_on_either_protocol() {
    let port = server(|_, _| None::<&[u8]>);
    for tls in [true, false] {
        let (kind, message) = failing_at_once(to(port, tls)).await;
        assert_eq!(kind, ErrorKind::Disconnected, "{message}");
    }
}

/// It may hang, or speak the other protocol: the error names both.
#[test]
fn a_server_that_replies_to_neither_protocol() {
    retry_if_starved(MOMENT, async || {
        let port = server(|_, _| Some(b""));
        let failing = [true, false].map(|tls| failing(to(port, tls), SHORT));
        let words = ["it hangs, or does not speak TLS", "it hangs, or speaks TLS"];
        for ((kind, message), words) in join_all(failing).await.into_iter().zip(words) {
            assert_eq!(kind, ErrorKind::Timeout, "{message}");
            assert!(message.contains(words), "{message}");
        }
    });
}

/// Without a TCP connection nothing is known of the protocol.
#[tokio::test]
async fn a_connect_that_is_not_accepted_does_not_mention_tls() {
    // A backlog of 0, and a connection that fills it: for the next one the port is a black hole.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    let mut config = to(address.port(), true);
    config.connect_timeout = Duration::from_millis(300);
    let error = check(&RedisStore::new(config), "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(!error.to_string().contains("TLS"), "{error}");
}

/// A server that has replied once is not probed for the other protocol when it hangs.
#[tokio::test]
async fn a_server_that_has_replied_is_not_probed_again() {
    let (sender, received) = std::sync::mpsc::channel();
    let hangs = AtomicBool::new(false);
    let port = server(move |bytes, tls| {
        sender.send(tls).unwrap();
        if contains(bytes, "EVAL") {
            // This connection is closed, and the next ones hang from their first byte on.
            hangs.store(true, Ordering::SeqCst);
            return None;
        }
        Some(match hangs.load(Ordering::SeqCst) {
            true => "",
            // A standalone Redis.
            false if contains(bytes, "CLUSTER") => "-ERR unknown command 'CLUSTER'\r\n",
            false => "+PONG\r\n",
        })
    });
    let mut config = to(port, false);
    config.connect_timeout = SHORT;
    let store = RedisStore::new(config);
    // However slow the machine is, the reply comes before half of the budget is over.
    let stopped = StoppedTimers::new();
    assert_eq!(
        check(&store, "a").await.unwrap_err().kind(),
        ErrorKind::Disconnected
    );
    drop(stopped);
    super::until(&store, Some(ErrorKind::Timeout)).await;
    assert!(received.try_iter().all(|tls| !tls));
}

/// The connect waits for a slow server to the end of the budget, whatever it probes meanwhile.
#[tokio::test]
async fn a_server_that_is_slow_to_answer_is_waited_for() {
    let server = Server::start(&[]);
    let () = redis::cmd("CLIENT")
        .arg(&["PAUSE", "6000"])
        .query(&mut server.admin())
        .unwrap();
    let mut config = to(server.port, false);
    config.connect_timeout = BUDGET;
    assert_eq!(take_slot(&RedisStore::new(config), "a").await, 4);
}
