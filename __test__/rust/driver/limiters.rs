//! Limiters over a driver: which requests leave in the caller's call, and what a panic leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use huntaze_rate_limit::driver::{self, Deliver, Driver};
use huntaze_rate_limit::engine::{Engine, LimiterId, Moment};
use huntaze_rate_limit::limiter::{Completion, Fallback, Local, OnStoreError, RequestId};
use huntaze_rate_limit::metrics::Metrics;
use huntaze_rate_limit::store::redis::RedisConfig;
use huntaze_rate_limit::store::{ErrorKind, Scope};

use super::{check, hour};
use crate::fake_server;

/// Keeps the errors of requests, with the number of each.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<(u32, ErrorKind)>>>);

impl Deliver for Errors {
    fn deliver(&mut self, engine: &mut Engine) -> impl FnOnce() + use<> {
        let mut errors = self.0.lock().unwrap();
        for (_, completion) in engine.completions() {
            if let Completion::Failed { request_id, error } = completion {
                errors.push((request_id.slot, error.kind()));
            }
        }
        while engine.next_closed_limiter().is_some() {}
        || {}
    }
}

impl Errors {
    /// Waits until there are this many.
    async fn wait_for(&self, count: usize) -> Vec<(u32, ErrorKind)> {
        wait_until(|| self.0.lock().unwrap().len() >= count).await;
        self.0.lock().unwrap().clone()
    }
}

async fn wait_until(holds: impl Fn() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let bound = Duration::from_secs(60);
    tokio::time::timeout(bound, poll).await.expect("it hangs");
}

/// A server that refuses each call, while `answers`. The number is that of the calls.
fn refusing_server(answers: &Arc<AtomicBool>) -> (u16, Arc<AtomicUsize>) {
    let (answers, calls) = (Arc::clone(answers), Arc::<AtomicUsize>::default());
    let counts = Arc::clone(&calls);
    let port = fake_server::server(move |bytes, _| {
        let text = String::from_utf8_lossy(bytes);
        let count = text.matches("EVALSHA").count();
        counts.fetch_add(count, Ordering::SeqCst);
        let mut out = b"+PONG\r\n".repeat(text.matches("PING").count());
        if answers.load(Ordering::SeqCst) {
            out.extend(b"-OOM command not allowed\r\n".repeat(count));
        }
        Some(out)
    });
    (port, calls)
}

fn drive(port: u16) -> (Arc<Driver<Errors>>, Errors) {
    let config = RedisConfig {
        cluster: Some(false),
        ..fake_server::config(port)
    };
    let rng = fastrand::Rng::new();
    let engine = Engine::new(config.clone(), Arc::default(), rng, driver::now());
    let errors = Errors::default();
    let runtime = tokio::runtime::Handle::current();
    let driver = Driver::start(runtime, &config, engine, errors.clone());
    (driver, errors)
}

fn open(driver: &Arc<Driver<Errors>>) -> LimiterId {
    let scope = Scope::clone(&hour());
    let fallback = Fallback::new(OnStoreError::Throw, scope.rules, Local::default());
    let metrics = Arc::new(Metrics::new(scope.rules.window));
    let deadline = Duration::from_secs(60);
    driver.with(|e, _, now| e.open(scope, deadline.into(), fallback, metrics, now))
}

fn submit(driver: &Arc<Driver<Errors>>, limiter: LimiterId, slot: u32) {
    let request_id = RequestId { slot, label: 0 };
    let asked = |e: &mut Engine, now| e.submit(limiter, check("a"), request_id, now);
    assert!(driver.with(|e, _, now| asked(e, now)).is_none());
}

/// A timer that is due is left to the timer task, so that what is submitted before it runs leaves in one call.
#[tokio::test]
async fn later_requests_wait_for_the_timer_task() {
    let (port, calls) = refusing_server(&Arc::new(AtomicBool::new(true)));
    let (driver, errors) = drive(port);
    let limiter = open(&driver);
    submit(&driver, limiter, 0);
    errors.wait_for(1).await;
    // No task runs meanwhile.
    for slot in 1..=3 {
        submit(&driver, limiter, slot);
    }
    let is_due = |at: Option<Instant>, now: Moment| at.is_some_and(|at| at <= now.steady);
    assert!(driver.with(|e, _, now| is_due(e.next_timer(), now)));
    errors.wait_for(4).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

/// Each request is answered once, and the limiters that are open go on.
#[tokio::test]
async fn the_limiter_outlives_a_panic() {
    let answers = Arc::new(AtomicBool::new(false));
    let (port, calls) = refusing_server(&answers);
    let (driver, errors) = drive(port);
    let (limiter, closed) = (open(&driver), open(&driver));
    for slot in 0..3 {
        submit(&driver, limiter, slot);
    }
    submit(&driver, closed, 3);
    driver.with(|e, _, now| e.close(closed, now));
    wait_until(|| calls.load(Ordering::SeqCst) > 0).await;
    let panics = || driver.with(|_, _, _| panic!("as the test wants it"));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    let mut answered = errors.wait_for(4).await;
    answered.sort_unstable_by_key(|&(slot, _)| slot);
    assert_eq!(
        answered,
        [0, 1, 2, 3].map(|slot| (slot, ErrorKind::Disconnected))
    );
    driver.settled().await;
    answers.store(true, Ordering::SeqCst);
    submit(&driver, limiter, 4);
    assert_eq!(errors.wait_for(5).await[4..], [(4, ErrorKind::Oom)]);
}

/// Whoever drops the last reference, and whatever has been sent and answered by then: each request is answered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_ends_while_requests_arrive() {
    let (port, _) = refusing_server(&Arc::new(AtomicBool::new(true)));
    for round in 0..100 {
        let (driver, errors) = drive(port);
        let limiter = open(&driver);
        let callers = [0..50, 50..100].map(|slots| {
            let driver = Arc::clone(&driver);
            thread::spawn(move || slots.for_each(|slot| submit(&driver, limiter, slot)))
        });
        drop(driver);
        wait_until(|| Arc::strong_count(&errors.0) == 1).await;
        for caller in callers {
            caller.join().unwrap();
        }
        let mut slots: Vec<_> = errors.wait_for(0).await.iter().map(|e| e.0).collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..100).collect::<Vec<_>>(), "round {round}");
    }
}
