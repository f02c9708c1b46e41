//! When the breaker opens, and how long it waits. Time and chance are the test's.

use std::time::Duration;

use huntaze_rate_limit::limiter::circuit_breaker::Breaker;
use huntaze_rate_limit::store::{ErrorKind, StoreError};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_millis(250);
const MS: Duration = Duration::from_millis(1);

fn away() -> StoreError {
    StoreError::new(ErrorKind::Refused, "away")
}

/// A breaker, and the moment of the last event.
struct Watched {
    breaker: Breaker,
    now: Instant,
}

impl Watched {
    fn new() -> Self {
        Self {
            breaker: Breaker::new(DEADLINE),
            now: Instant::now(),
        }
    }

    /// A batch is sent now and fails `after`.
    fn fail(&mut self, after: Duration) -> bool {
        let sent = self.now;
        self.now += after;
        self.breaker.on_error(sent, self.now, &away())
    }

    fn answer(&mut self) {
        self.now += MS;
        self.breaker.on_success(self.now);
    }
}

#[test]
fn it_opens_on_three_failures_in_a_row() {
    let mut watched = Watched::new();
    for opens in [false, false, true] {
        assert_eq!(watched.fail(DEADLINE), opens);
    }
    assert_eq!(
        watched.breaker.reason().map(StoreError::kind),
        Some(ErrorKind::Refused)
    );
}

#[test]
fn an_answer_begins_the_row_anew() {
    let mut watched = Watched::new();
    for _ in 0..9 {
        assert!(!watched.fail(MS) && !watched.fail(MS));
        watched.answer();
        watched.answer();
        watched.answer();
    }
    assert!(watched.breaker.reason().is_none());
}

/// A connection that breaks takes all batches along that are on it: one event, not sixty-four.
#[test]
fn what_was_under_way_together_fails_once() {
    let mut watched = Watched::new();
    let sent = watched.now;
    for n in 1..=64 {
        let now = sent + MS * n;
        assert!(!watched.breaker.on_error(sent, now, &away()), "{n}");
    }
    watched.now = sent + MS * 65;
    assert_eq!([watched.fail(MS), watched.fail(MS)], [false, true]);
}

/// Neither a Lambda's freeze nor a stopped process is the store's fault.
#[test]
fn what_began_before_a_freeze_does_not_count() {
    let mut watched = Watched::new();
    for _ in 0..20 {
        assert!(!watched.fail(Duration::from_secs(60)));
    }
    // A busy machine is no freeze.
    for opens in [false, false, true] {
        assert_eq!(watched.fail(DEADLINE + MS * 100), opens);
    }
}

#[test]
fn it_opens_when_half_of_the_recent_batches_fail() {
    let mut watched = Watched::new();
    let opened = (1..=40).find(|_| {
        watched.answer();
        watched.fail(MS)
    });
    assert_eq!(opened, Some(10));
}

#[test]
fn a_few_failures_among_many_answers_do_not_open_it() {
    let mut watched = Watched::new();
    for _ in 0..1000 {
        watched.answer();
        watched.answer();
        assert!(!watched.fail(MS));
    }
}

/// What was answered ten seconds ago says nothing of now.
#[test]
fn answers_are_forgotten() {
    let mut watched = Watched::new();
    for _ in 0..1_000_000 {
        watched.breaker.on_success(watched.now);
    }
    watched.now += Duration::from_secs(10);
    let opened = (1..=40).find(|_| {
        watched.answer();
        watched.fail(MS)
    });
    assert_eq!(opened, Some(10));
}

#[test]
fn the_wait_is_a_second_to_thirty_and_grows() {
    let mut breaker = Breaker::new(DEADLINE);
    let longest: Vec<u64> = (0..12)
        .map(|_| breaker.probe_delay(1.0).as_millis() as u64)
        .collect();
    assert_eq!(longest[..4], [1500, 2250, 3375, 5062]);
    assert!(longest.is_sorted());
    assert_eq!(longest.last(), Some(&30_000));
    assert_eq!(breaker.probe_delay(0.0), Duration::from_secs(1));
    let middle = breaker.probe_delay(0.5);
    assert!(Duration::from_secs(15) < middle && middle < Duration::from_secs(16));
}

/// Failures that overlap count as answers do: half of what is asked is late.
#[test]
fn it_opens_when_half_of_what_overlaps_is_late() {
    let mut watched = Watched::new();
    let cycle = |watched: &mut Watched| {
        let begun = watched.now;
        let late = (0..35).any(|n| {
            let sent = begun + MS * 10 * n;
            watched.breaker.on_error(sent, sent + DEADLINE, &away())
        });
        watched.now = begun + MS * 650;
        (0..30).for_each(|_| watched.answer());
        late
    };
    assert!((0..3).any(|_| cycle(&mut watched)));
}

#[test]
fn what_was_never_open_is_not_closed() {
    let mut watched = Watched::new();
    assert!(!watched.fail(MS) && !watched.fail(MS));
    watched.breaker.close();
    assert!(watched.fail(MS));
}

/// Nothing but a probe can tell when a store that answers decides again.
#[test]
fn a_store_that_answers_is_asked_once_a_second() {
    let mut breaker = Breaker::new(DEADLINE);
    for (kind, longest) in [(ErrorKind::Busy, 1500), (ErrorKind::Timeout, 30_000)] {
        for _ in 0..20 {
            breaker.on_probe_failure(StoreError::new(kind, "not yet"));
            let _ = breaker.probe_delay(1.0);
        }
        breaker.on_probe_failure(StoreError::new(kind, "not yet"));
        assert_eq!(breaker.probe_delay(1.0), Duration::from_millis(longest));
    }
}

#[test]
fn closed_it_begins_anew() {
    let mut watched = Watched::new();
    while !watched.fail(MS) {}
    // Open, it counts nothing.
    assert!(!watched.fail(MS));
    watched.breaker.close();
    assert!(watched.breaker.reason().is_none());
    assert_eq!(
        [watched.fail(MS), watched.fail(MS), watched.fail(MS)],
        [false, false, true]
    );
}
