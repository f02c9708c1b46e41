//! The control of tests that give real servers real time: whether this machine kept pace meanwhile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

/// How often a test is run because this machine did not keep pace, and for how long at the most: one that is wrong takes its time on
/// a machine that is busy for good.
const ATTEMPTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(180);

/// How long the control sleeps between two round trips.
const SLEEP: Duration = Duration::from_millis(1);

/// A quiet connection has 50 ms for a sign of life, and is replaced where it gives none: also one that is well, where somebody is
/// made to wait. The slack of tests that count connections.
pub const SLACK: Duration = Duration::from_millis(20);

/// Two threads that send a byte to and fro, as a client and a server do, and the longest that took.
pub struct Pace {
    started: Instant,
    trips: Arc<Trips>,
    over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

/// In microseconds.
#[derive(Default)]
struct Trips {
    /// When the last one began, after the start.
    last: AtomicU64,
    longest: AtomicU64,
}

impl Pace {
    fn watch() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        // It ends with the client.
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

    /// Whether nobody has been made to wait for so long up to now.
    pub fn was_kept(&self, slack: Duration) -> bool {
        self.longest() < slack
    }

    /// The longest trip, the one that it is on counted too.
    fn longest(&self) -> Duration {
        let last = Duration::from_micros(self.trips.last.load(Ordering::Relaxed));
        let longest = Duration::from_micros(self.trips.longest.load(Ordering::Relaxed));
        let present = self.started.elapsed().saturating_sub(last);
        longest.max(present).saturating_sub(SLEEP)
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            // It fails only where its own sockets do, and has said so.
            let _ = client.join();
        }
    }
}

/// Runs `test`, which goes wrong where somebody is made to wait for `slack`, through no fault of what is tested. A failure counts
/// where the control was not: otherwise the test is run again. It passes only by holding, never for want of pace.
pub fn keeping_pace(slack: Duration, test: impl AsyncFn(&Pace)) {
    let begun = Instant::now();
    for _ in 0..ATTEMPTS {
        let pace = Pace::watch();
        let attempt = AssertUnwindSafe(|| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test(&pace));
        });
        let Err(failure) = catch_unwind(attempt) else {
            return;
        };
        if pace.was_kept(slack) || begun.elapsed() > PATIENCE {
            resume_unwind(failure);
        }
        println!("once more: the control waited for {:?}", pace.longest());
    }
    panic!("this machine kept no test's pace in {ATTEMPTS} attempts");
}

#[test]
fn a_failure_counts_where_pace_was_kept() {
    let failed = catch_unwind(|| {
        keeping_pace(Duration::from_secs(3600), async |_| {
            panic!("as the test wants it")
        });
    });
    assert!(failed.is_err());
}

#[test]
fn a_test_is_run_again_until_it_holds_where_it_was_not() {
    let runs = AtomicU64::new(0);
    keeping_pace(Duration::ZERO, async |_| {
        assert_eq!(runs.fetch_add(1, Ordering::Relaxed), 2);
    });
    assert_eq!(runs.into_inner(), 3);
    let failed = catch_unwind(|| keeping_pace(Duration::ZERO, async |_| panic!("always")));
    assert!(failed.is_err());
}

/// One that never waits would let no failure be repeated.
#[test]
fn the_control_waits_with_everybody_else() {
    let pace = Pace::watch();
    let begun = Instant::now();
    while pace.longest() == Duration::ZERO {
        assert!(begun.elapsed() < Duration::from_secs(60));
        thread::yield_now();
    }
    assert!(!pace.was_kept(Duration::from_nanos(1)));
}
