//! Real servers without real-time budgets: no timer of the product fires while the timers of a test's runtime are stopped.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{pause, resume};

/// Where a test waits for a timer by mistake, the timers fire after so long, and it goes on.
const PATIENT: Duration = Duration::from_secs(60);

/// The 50 ms for a sign of life, the budget of a connect and its half do not pass while this lives, however long the machine makes
/// a test wait.
///
/// Tokio moves a paused clock on by itself when there is nothing to do but to wait for the network. It does not while a blocking
/// task runs: this is one.
pub struct Stopped(#[expect(dead_code, reason = "its end ends the task")] Sender<()>);

impl Stopped {
    /// In the runtime of `#[tokio::test]`, of one thread.
    pub fn new() -> Self {
        let (alive, until): (_, Receiver<()>) = channel();
        spawn_blocking(move || until.recv_timeout(PATIENT));
        pause();
        Self(alive)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        resume();
    }
}

#[tokio::test]
async fn a_timer_fires_only_once_they_go_on() {
    let stopped = Stopped::new();
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_millis(1)));
    // The network goes on, and real time.
    let server = crate::server::Server::start(&[]);
    let store = server.store();
    for n in ["a", "b", "c"] {
        let scope = crate::requests::scope("t", crate::requests::quiet(1000));
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
