//! Tests of the product's own real-time budgets: a failure is repeated where a control of the same run was starved.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// A defect that shows in two runs of five passes three attempts one time in fifteen, even if each attempt is starved.
const ATTEMPTS: usize = 3;

/// A repeat begins once the control has not been starved for this long, and after the longest wait at the latest.
const QUIET: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// How long the control sleeps between two round trips.
const SLEEP: Duration = Duration::from_millis(1);

/// The variable with the file in which `scripts/cargo-test.mjs` counts repeats, a line each.
const REPEATS: &str = "TEST_REPEATS";

/// How long the health check of an idle connection may take (`SHORTEST_HEALTH_CHECK` in `engine/connection.rs`).
pub const HEALTH_CHECK: Duration = Duration::from_millis(50);

/// Two threads that send a byte back and forth, as a client and a server do, and the longest round trip.
struct Control {
    started: Instant,
    trips: Arc<Trips>,
    over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

/// In microseconds.
#[derive(Default)]
struct Trips {
    /// When the last round trip began, after the start.
    last: AtomicU64,
    longest: AtomicU64,
}

impl Control {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        // The thread ends with the client.
        thread::spawn(move || {
            let mut byte = [0];
            while server.read_exact(&mut byte).is_ok() && server.write_all(&byte).is_ok() {}
        });
        let (trips, over) = (Arc::<Trips>::default(), Arc::<AtomicBool>::default());
        let (result, ends, started) = (Arc::clone(&trips), Arc::clone(&over), Instant::now());
        let client = thread::spawn(move || {
            let mut byte = [0];
            while !ends.load(Ordering::Relaxed) {
                let begun = started.elapsed().as_micros() as u64;
                result.last.store(begun, Ordering::Relaxed);
                thread::sleep(SLEEP);
                client.write_all(&byte).unwrap();
                client.read_exact(&mut byte).unwrap();
                let took = started.elapsed().as_micros() as u64 - begun;
                result.longest.fetch_max(took, Ordering::Relaxed);
            }
        });
        Self {
            started,
            trips,
            over,
            client: Some(client),
        }
    }

    /// Whether a round trip has taken half of `budget`: within its budget a test makes more than one.
    fn starved(&self, budget: Duration) -> bool {
        self.longest() >= budget / 2
    }

    /// The longest trip, the one in flight counted too.
    fn longest(&self) -> Duration {
        let last = Duration::from_micros(self.trips.last.load(Ordering::Relaxed));
        let longest = Duration::from_micros(self.trips.longest.load(Ordering::Relaxed));
        let present = self.started.elapsed().saturating_sub(last);
        longest.max(present).saturating_sub(SLEEP)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            // It fails only if its own sockets do, and has panicked with the error.
            let _ = client.join();
        }
    }
}

/// Runs `test`, whose claim holds only within a real-time `budget` of the product's. A failure counts where the control was not
/// starved of half of that, and in the last attempt. Otherwise the repeat is reported, and begins at a quiet moment.
pub fn retry_if_starved(budget: Duration, test: impl AsyncFn()) {
    attempts(budget, test, |waited| {
        report(waited);
        wait_until_quiet(budget);
    });
}

fn attempts(budget: Duration, test: impl AsyncFn(), before_repeat: impl Fn(Duration)) {
    for attempt in 1.. {
        let control = Control::start();
        let run = AssertUnwindSafe(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        });
        let Err(failure) = catch_unwind(run) else {
            return;
        };
        if attempt == ATTEMPTS || !control.starved(budget) {
            resume_unwind(failure);
        }
        before_repeat(control.longest());
    }
}

/// Bypasses the capture of the test program, which shows the output of failed tests only.
fn report(waited: Duration) {
    let current = thread::current();
    let name = current.name().unwrap_or("a test");
    let line = format!("{name} ({} ms)\n", waited.as_millis());
    // Without a standard error there is still the file.
    let _ = write!(
        std::io::stderr(),
        "run again since the control waited: {line}"
    );
    if let Some(path) = std::env::var_os(REPEATS) {
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        // In one write: several tests append to the file.
        file.write_all(line.as_bytes()).unwrap();
    }
}

fn wait_until_quiet(budget: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST_WAIT {
        let control = Control::start();
        let since = Instant::now();
        while since.elapsed() < QUIET && !control.starved(budget) {
            thread::sleep(Duration::from_millis(50));
        }
        if !control.starved(budget) {
            return;
        }
    }
}

#[test]
fn a_failure_counts_where_the_control_was_not_starved() {
    let runs = AtomicU64::new(0);
    let test = async || {
        runs.fetch_add(1, Ordering::Relaxed);
        panic!("as the test wants it")
    };
    let failed = catch_unwind(AssertUnwindSafe(|| {
        attempts(Duration::from_secs(7200), test, |_| {});
    }));
    assert!(failed.is_err());
    assert_eq!(runs.into_inner(), 1);
}

#[test]
fn a_failure_of_the_last_attempt_counts_even_when_starved() {
    let (runs, repeats) = (AtomicU64::new(0), AtomicU64::new(0));
    let test = async || {
        runs.fetch_add(1, Ordering::Relaxed);
        panic!("as the test wants it")
    };
    let failed = catch_unwind(AssertUnwindSafe(|| {
        attempts(Duration::ZERO, test, |_| {
            repeats.fetch_add(1, Ordering::Relaxed);
        });
    }));
    assert!(failed.is_err());
    assert_eq!((runs.into_inner(), repeats.into_inner()), (3, 2));
}

#[test]
fn a_test_that_holds_is_not_run_again() {
    let runs = AtomicU64::new(0);
    let test = async || assert_eq!(runs.fetch_add(1, Ordering::Relaxed), 1);
    let repeats = AtomicU64::new(0);
    attempts(Duration::ZERO, test, |_| {
        repeats.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!((runs.into_inner(), repeats.into_inner()), (2, 1));
}

/// A control that never waits would let no failure be repeated.
#[test]
fn the_control_waits_like_any_thread() {
    let control = Control::start();
    let begun = Instant::now();
    while control.longest() == Duration::ZERO {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::yield_now();
    }
    assert!(control.starved(Duration::from_nanos(2)));
}
