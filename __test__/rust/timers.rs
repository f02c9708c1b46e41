//! Stopped timers: with real servers, but without real-time budgets. No timer of the product fires meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{pause, resume};

/// If a test waits for a timer by mistake, the timers fire after this long, and the test continues.
const PATIENT: Duration = Duration::from_secs(60);

/// The 50 ms of a health check, the budget of a connect and its half do not pass while this lives, however long the machine
/// delays a test.
///
/// Tokio advances a paused clock by itself when every task waits, also if one waits for the network. It does not while a blocking
/// task runs, and this is one.
pub struct StoppedTimers(#[expect(dead_code, reason = "dropping it ends the task")] Sender<()>);

impl StoppedTimers {
    /// In the runtime of `#[tokio::test]`, which has one thread.
    pub fn new() -> Self {
        let (alive, until): (_, Receiver<()>) = channel();
        spawn_blocking(move || until.recv_timeout(PATIENT));
        pause();
        Self(alive)
    }
}

impl Drop for StoppedTimers {
    fn drop(&mut self) {
        resume();
    }
}

#[tokio::test]
async fn a_timer_fires_only_after_the_stop() {
    let stopped = StoppedTimers::new();
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_millis(1)));
    // The network and real time continue.
    let server = crate::server::Server::start(&[]);
    let store = server.store();
    for n in ["a", "b", "c"] {
        let scope = crate::requests::scope("t", crate::requests::plain_rules(1000));
        let op = huntaze_rate_limit::store::Op::Check;
        crate::requests::ask(&store, &scope, op, n, 1)
            .await
            .unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!timer.is_finished());
    drop(stopped);
    timer.await.unwrap();
}
