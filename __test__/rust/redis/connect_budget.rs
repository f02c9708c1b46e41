//! The budget of a connect in a process that is suspended meanwhile: when it resumes, its timers have expired, and the server has
//! answered long ago.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::redis_store::RedisStore;
use huntaze_rate_limit::store::ErrorKind;
use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::redis::config_env::with_defaults;
use tokio::task::yield_now;

use super::certificates::Authority;
use super::{check, tls};
use crate::server::Server;
use crate::starvation::retry_if_starved;

const BUDGET: Duration = Duration::from_millis(500);

/// A step of the budget's clock that takes twice as long as this was a suspension (`store/budget.rs`).
const STEP: Duration = Duration::from_millis(50);

/// Longer than the budget of a connect, even if none of it has passed.
const SUSPENDED: Duration = Duration::from_millis(700);

/// Checks, and blocks the only thread of the runtime after this many polls of the connect.
async fn check_and_suspend(mut config: RedisConfig, polls: usize) -> Result<(), String> {
    config.connect_timeout = BUDGET;
    let store = Arc::new(RedisStore::new(config));
    let asked = Arc::clone(&store);
    let first = tokio::spawn(async move { check(&asked, "a").await });
    for _ in 0..polls {
        yield_now().await;
    }
    thread::sleep(SUSPENDED);
    // One check from before the suspension, and one from after it.
    for result in [check(&store, "b").await, first.await.unwrap()] {
        result.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_suspension_does_not_fail_the_connect() {
    let server = Server::start(&[]);
    for polls in [1, 3, 6, 10] {
        let stopped = check_and_suspend(server.config(), polls).await;
        assert_eq!(stopped, Ok(()), "{polls} polls");
    }
}

#[tokio::test]
async fn a_suspension_does_not_fail_the_tls_handshake() {
    let authority = Authority::new();
    let server = authority.server(&["localhost"]);
    for polls in [1, 3, 6, 10] {
        let config = tls::config(&server, "localhost", Some(&authority.pem));
        let stopped = check_and_suspend(config, polls).await;
        assert_eq!(stopped, Ok(()), "{polls} polls");
    }
}

/// The server has closed the connection meanwhile, as a server does that waits only some time for a login.
#[test]
fn an_attempt_that_broke_during_a_suspension_is_made_once_more() {
    // A process that a busy machine does not let run is suspended, too.
    retry_if_starved(STEP, async || {
        assert_eq!(attempts(true).await, 2);
        assert_eq!(attempts(false).await, 1);
    });
}

/// Connects to a server that hangs up. `suspended`: the process is, meanwhile. Returns how many connects there were.
async fn attempts(suspended: bool) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = with_defaults("127.0.0.1");
    config.port = listener.local_addr().unwrap().port();
    config.connect_timeout = BUDGET;
    config.cluster = Some(false);
    let (hang_up, hung_up) = channel::<()>();
    let connects = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connects);
    // The thread ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut first) = (stream.unwrap(), [0]);
            stream.read_exact(&mut first).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = hung_up.recv();
            // The beginning of a reply: the server is not probed for TLS.
            let _ = stream.write_all(b"+");
        }
    });
    let store = RedisStore::new(config);
    let first = tokio::spawn(async move { check(&store, "a").await });
    while connects.load(Ordering::SeqCst) == 0 {
        yield_now().await;
    }
    drop(hang_up);
    if suspended {
        thread::sleep(SUSPENDED);
    }
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    connects.load(Ordering::SeqCst)
}
