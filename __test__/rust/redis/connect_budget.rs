//! A process that is stopped while it connects: its timers have expired when it goes on, and the server has answered long ago.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use huntaze_rate_limit::store::redis::{RedisConfig, RedisStore};
use tokio::task::yield_now;

use super::certificates::Authority;
use super::{check, tls};
use crate::server::Server;
use crate::starvation::retry_if_starved;

const BUDGET: Duration = Duration::from_millis(500);

/// A turn of the budget's clock that takes twice as long as this was a stop (`store/budget.rs`).
const STEP: Duration = Duration::from_millis(50);

/// Longer than the budget of a connect, whatever of it has passed.
const STOPPED: Duration = Duration::from_millis(700);

/// Checks, and stops the only thread of the runtime after so many turns of the connect.
async fn check_and_stop(mut config: RedisConfig, turns: usize) -> Result<(), String> {
    config.connect_timeout = BUDGET;
    let store = Arc::new(RedisStore::new(config));
    let asked = Arc::clone(&store);
    let first = tokio::spawn(async move { check(&asked, "a").await });
    for _ in 0..turns {
        yield_now().await;
    }
    thread::sleep(STOPPED);
    // One that was asked before, and one that comes after.
    for result in [check(&store, "b").await, first.await.unwrap()] {
        result.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn it_is_no_verdict_on_the_server() {
    let server = Server::start(&[]);
    for turns in [1, 3, 6, 10] {
        let stopped = check_and_stop(server.config(), turns).await;
        assert_eq!(stopped, Ok(()), "{turns} turns");
    }
}

#[tokio::test]
async fn nor_during_a_tls_handshake() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    for turns in [1, 3, 6, 10] {
        let config = tls::config(&server, "localhost", Some(&authority.pem));
        let stopped = check_and_stop(config, turns).await;
        assert_eq!(stopped, Ok(()), "{turns} turns");
    }
}

/// The server has hung up meanwhile, as one does that waits for a login for some time.
#[test]
fn an_attempt_that_broke_meanwhile_is_made_once_more() {
    // A process that a busy machine does not let run is a stopped one, too.
    retry_if_starved(STEP, async || {
        assert_eq!(attempts(true).await, 2);
        assert_eq!(attempts(false).await, 1);
    });
}

/// The connects to a server that hangs up, `stopped` meanwhile.
async fn attempts(stopped: bool) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = with_defaults("127.0.0.1");
    config.port = listener.local_addr().unwrap().port();
    config.connect_timeout = BUDGET;
    config.cluster = Some(false);
    let (hang_up, hung_up) = channel::<()>();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut first) = (stream.unwrap(), [0]);
            stream.read_exact(&mut first).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = hung_up.recv();
            // The beginning of an answer: the server is not asked whether it speaks TLS.
            let _ = stream.write_all(b"+");
        }
    });
    let store = RedisStore::new(config);
    let first = tokio::spawn(async move { check(&store, "a").await });
    while asked.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    drop(hang_up);
    if stopped {
        thread::sleep(STOPPED);
    }
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    asked.load(Ordering::SeqCst)
}
