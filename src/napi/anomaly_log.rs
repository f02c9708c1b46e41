//! Which anomalies are logged, where nobody listens: ten a second in a process, and then how many more there were. A static
//! keeps count, for all threads, all limiters and all copies of the JavaScript face.
//!
//! Time is passed in.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use napi_derive::napi;
use parking_lot::{Mutex, MutexGuard};

use super::abi::AnomalyLogEntry;

/// Lines in any second.
const MAX_PER_SECOND: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// What has been logged in the last second, and what has not.
#[derive(Debug)]
pub(super) struct AnomalyLog {
    /// When the last lines were, the oldest at `next`.
    logged: [Option<Instant>; MAX_PER_SECOND],
    next: usize,
    /// Anomalies without a line.
    unlogged: u64,
    /// When somebody was last asked to log their number.
    scheduled: Option<Instant>,
    /// When their number was last logged.
    count_logged: Option<Instant>,
}

impl AnomalyLog {
    pub(super) const fn new() -> Self {
        Self {
            logged: [None; MAX_PER_SECOND],
            next: 0,
            unlogged: 0,
            scheduled: None,
            count_logged: None,
        }
    }

    /// An anomaly has been reported.
    pub(super) fn record(&mut self, now: Instant) -> AnomalyLogEntry {
        let oldest = &mut self.logged[self.next];
        if oldest.is_none_or(|oldest| since(oldest, now) >= SECOND) {
            *oldest = Some(now);
            self.next = (self.next + 1) % MAX_PER_SECOND;
            return AnomalyLogEntry::Logged;
        }
        self.unlogged += 1;
        // Asked anew after a while: the thread that was asked may have ended.
        if self
            .scheduled
            .is_some_and(|scheduled| since(scheduled, now) < 2 * SECOND)
        {
            return AnomalyLogEntry::Counted;
        }
        self.scheduled = Some(now);
        AnomalyLogEntry::First
    }

    /// How many anomalies have no line, to be logged now. Nothing where that was logged less than a second ago: then how long
    /// to wait. So a limiter that is opened, flooded and closed each time logs no more than one that stays open.
    pub(super) fn take_unlogged(&mut self, now: Instant) -> (u64, Duration) {
        let elapsed = self
            .count_logged
            .map_or(SECOND, |logged| since(logged, now));
        let wait = SECOND.saturating_sub(elapsed);
        if self.unlogged == 0 {
            self.scheduled = None;
            return (0, Duration::ZERO);
        }
        if !wait.is_zero() {
            self.scheduled = Some(now);
            return (0, wait);
        }
        self.scheduled = None;
        self.count_logged = Some(now);
        (std::mem::take(&mut self.unlogged), Duration::ZERO)
    }
}

fn since(earlier: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(earlier)
}

/// Who hears of a limiter's anomalies: set by JavaScript, read where they are reported.
#[derive(Debug, Default)]
pub(super) struct AnomalyTarget(pub(super) AtomicU8);

impl AnomalyTarget {
    /// Nobody: it only tries the connection out.
    pub(super) const NONE: u8 = 0;
    /// The log, as far as it has room.
    pub(super) const LOG: u8 = 1;
    /// A listener.
    pub(super) const LISTENER: u8 = 2;

    /// Whether somebody `listens`; else they are logged.
    pub(super) fn set(&self, has_listener: bool) {
        let target = if has_listener {
            Self::LISTENER
        } else {
            Self::LOG
        };
        self.0.store(target, Ordering::Relaxed);
    }
}

static ANOMALY_LOG: Mutex<AnomalyLog> = Mutex::new(AnomalyLog::new());

/// The process's, for all threads and all copies of the face.
pub(super) fn anomaly_log() -> MutexGuard<'static, AnomalyLog> {
    ANOMALY_LOG.lock()
}

/// How many anomalies have not been logged, to be logged now, and in how many ms to ask again.
#[napi]
pub fn take_unlogged_anomalies() -> Vec<f64> {
    let (count, wait) = anomaly_log().take_unlogged(Instant::now());
    // Rounded up: no wait means that there is nothing left.
    vec![count as f64, (wait.as_secs_f64() * 1000.0).ceil()]
}

/// Takes an anomaly into the log that was reported to a listener who has gone since. As [`AnomalyLogEntry`],
/// by its position.
#[napi]
pub fn record_anomaly() -> u32 {
    anomaly_log().record(Instant::now()) as u32
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
            .filter(|&now| log.record(now) == AnomalyLogEntry::Logged)
            .collect();
        assert_eq!(lines.len(), 50);
        for pair in lines.windows(MAX_PER_SECOND + 1) {
            assert!(pair[MAX_PER_SECOND] - pair[0] >= SECOND);
        }
        assert_eq!(log.take_unlogged(begun + 5 * SECOND).0, 4950);
    }

    #[test]
    fn few_anomalies_are_all_logged() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        for n in 0..100 {
            assert_eq!(log.record(begun + n * 100 * MS), AnomalyLogEntry::Logged);
        }
        assert_eq!(log.take_unlogged(begun + 100 * SECOND), (0, Duration::ZERO));
    }

    #[test]
    fn the_rest_is_logged_once_and_once_a_second() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let entries: Vec<_> = (0..100).map(|_| log.record(begun)).collect();
        assert_eq!(
            entries[9..12],
            [
                AnomalyLogEntry::Logged,
                AnomalyLogEntry::First,
                AnomalyLogEntry::Counted
            ]
        );
        assert_eq!(log.take_unlogged(begun + SECOND), (90, Duration::ZERO));
        assert_eq!(log.take_unlogged(begun + SECOND), (0, Duration::ZERO));
        (0..30).for_each(|_| _ = log.record(begun + SECOND));
        assert_eq!(log.take_unlogged(begun + 1200 * MS), (0, 800 * MS));
        assert_eq!(log.take_unlogged(begun + 2000 * MS), (20, Duration::ZERO));
    }

    #[test]
    fn limiters_that_are_opened_flooded_and_closed_log_eleven_lines_a_second() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let (mut lines, mut counts) = (0, 0);
        for n in 0..5000 {
            let now = begun + n * MS;
            lines += u32::from(log.record(now) == AnomalyLogEntry::Logged);
            // It closes.
            counts += u32::from(log.take_unlogged(now).0 > 0);
        }
        assert_eq!((lines, counts), (50, 5));
    }

    #[test]
    fn a_lost_timer_is_scheduled_anew() {
        let begun = Instant::now();
        let mut log = AnomalyLog::new();
        let entries = (0..4000).map(|n| (n, log.record(begun + n * MS)));
        let scheduled: Vec<_> = entries
            .filter(|(_, e)| *e == AnomalyLogEntry::First)
            .collect();
        assert_eq!(
            scheduled,
            [(10, AnomalyLogEntry::First), (2010, AnomalyLogEntry::First)]
        );
    }
}
