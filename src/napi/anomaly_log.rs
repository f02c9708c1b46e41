//! Which anomalies are logged, where nobody listens: ten a second in a process, and then how many more there were. A static
//! keeps count, for all threads, all limiters and all copies of the JavaScript face.
//!
//! Time is passed in.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use napi_derive::napi;
use parking_lot::{Mutex, MutexGuard};

/// Lines in any second.
const LINES: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What becomes of an anomaly that nobody listens for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is logged.
    Line,
    /// It is counted, and whoever reported it has to see to it that the count is logged, a second later.
    First,
    /// It is counted.
    Counted,
}

/// What has been logged in the last second, and what has not.
#[derive(Debug)]
pub(super) struct AnomalyLog {
    /// When the last lines were, the oldest at `next`.
    lines: [Option<Instant>; LINES],
    next: usize,
    /// Anomalies without a line.
    more: u64,
    /// When somebody was last asked to log their number.
    asked: Option<Instant>,
    /// When their number was last logged.
    told: Option<Instant>,
}

impl AnomalyLog {
    pub(super) const fn new() -> Self {
        Self {
            lines: [None; LINES],
            next: 0,
            more: 0,
            asked: None,
            told: None,
        }
    }

    /// An anomaly has been reported.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        let oldest = &mut self.lines[self.next];
        if oldest.is_none_or(|oldest| since(oldest, now) >= SECOND) {
            *oldest = Some(now);
            self.next = (self.next + 1) % LINES;
            return Entry::Line;
        }
        self.more += 1;
        // Asked anew after a while: the thread that was asked may have ended.
        if self
            .asked
            .is_some_and(|asked| since(asked, now) < 2 * SECOND)
        {
            return Entry::Counted;
        }
        self.asked = Some(now);
        Entry::First
    }

    /// How many anomalies have no line, to be logged now. Nothing where that was logged less than a second ago: then how long
    /// to wait. So a limiter that is opened, flooded and closed each time logs no more than one that stays open.
    pub(super) fn more(&mut self, now: Instant) -> (u64, Duration) {
        let told = self.told.map_or(SECOND, |told| since(told, now));
        let wait = SECOND.saturating_sub(told);
        if self.more == 0 {
            self.asked = None;
            return (0, Duration::ZERO);
        }
        if !wait.is_zero() {
            self.asked = Some(now);
            return (0, wait);
        }
        self.asked = None;
        self.told = Some(now);
        (std::mem::take(&mut self.more), Duration::ZERO)
    }
}

fn since(earlier: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(earlier)
}

/// Who hears of a limiter's anomalies: set by JavaScript, read where they are reported.
#[derive(Debug, Default)]
pub(super) struct Audience(pub(super) AtomicU8);

impl Audience {
    /// Nobody: it only tries the connection out.
    pub(super) const NOBODY: u8 = 0;
    /// The log, as far as it has room.
    pub(super) const LOG: u8 = 1;
    /// A listener.
    pub(super) const LISTENER: u8 = 2;

    /// Whether somebody `listens`; else they are logged.
    pub(super) fn set(&self, listens: bool) {
        let heard_by = if listens { Self::LISTENER } else { Self::LOG };
        self.0.store(heard_by, Ordering::Relaxed);
    }
}

static ANOMALY_LOG: Mutex<AnomalyLog> = Mutex::new(AnomalyLog::new());

/// The process's, for all threads and all copies of the face.
pub(super) fn anomaly_log() -> MutexGuard<'static, AnomalyLog> {
    ANOMALY_LOG.lock()
}

/// How many anomalies have not been logged, to be logged now, and in how many ms to ask again.
#[napi]
pub fn more_anomalies() -> Vec<f64> {
    let (more, wait) = anomaly_log().more(Instant::now());
    // Rounded up: no wait means that there is nothing left.
    vec![more as f64, (wait.as_secs_f64() * 1000.0).ceil()]
}

/// Takes an anomaly into the log that was reported to a listener who has gone since. As [`Entry`],
/// by its position.
#[napi]
pub fn enter_anomaly() -> u32 {
    anomaly_log().enter(Instant::now()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn ten_lines_in_any_second_and_the_rest_is_counted() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let lines: Vec<_> = (0..5000)
            .map(|n| begun + n * MS)
            .filter(|&now| log.enter(now) == Entry::Line)
            .collect();
        assert_eq!(lines.len(), 50);
        for pair in lines.windows(LINES + 1) {
            assert!(pair[LINES] - pair[0] >= SECOND);
        }
        assert_eq!(log.more(begun + 5 * SECOND).0, 4950);
    }

    #[test]
    fn few_anomalies_are_all_logged() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        for n in 0..100 {
            assert_eq!(log.enter(begun + n * 100 * MS), Entry::Line);
        }
        assert_eq!(log.more(begun + 100 * SECOND), (0, Duration::ZERO));
    }

    #[test]
    fn the_rest_is_told_once_and_once_a_second() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let entries: Vec<_> = (0..100).map(|_| log.enter(begun)).collect();
        assert_eq!(entries[9..12], [Entry::Line, Entry::First, Entry::Counted]);
        assert_eq!(log.more(begun + SECOND), (90, Duration::ZERO));
        assert_eq!(log.more(begun + SECOND), (0, Duration::ZERO));
        (0..30).for_each(|_| _ = log.enter(begun + SECOND));
        assert_eq!(log.more(begun + 1200 * MS), (0, 800 * MS));
        assert_eq!(log.more(begun + 2000 * MS), (20, Duration::ZERO));
    }

    #[test]
    fn limiters_that_are_opened_flooded_and_closed_log_eleven_lines_a_second() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let (mut lines, mut more) = (0, 0);
        for n in 0..5000 {
            let now = begun + n * MS;
            lines += u32::from(log.enter(now) == Entry::Line);
            // It closes.
            more += u32::from(log.more(now).0 > 0);
        }
        assert_eq!((lines, more), (50, 5));
    }

    #[test]
    fn somebody_else_is_asked_where_the_first_has_gone() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let entries = (0..4000).map(|n| (n, log.enter(begun + n * MS)));
        let asked: Vec<_> = entries.filter(|(_, e)| *e == Entry::First).collect();
        assert_eq!(asked, [(10, Entry::First), (2010, Entry::First)]);
    }
}
