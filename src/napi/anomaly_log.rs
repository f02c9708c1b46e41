//! Limits the log lines for anomalies that have no listener: ten a second in a process, then one line with the number of
//! the others. The log is a static, for all threads, all limiters and all copies of the JavaScript module.
//!
//! Time is passed in.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use napi_derive::napi;
use parking_lot::Mutex;

use super::abi::AnomalyLogEntry;

/// Lines in any second.
const MAX_PER_SECOND: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// The lines of the last second, and the number of anomalies without one.
#[derive(Debug)]
pub(super) struct AnomalyLog {
    /// When the last lines were logged. The oldest is at `next`.
    logged: [Option<Instant>; MAX_PER_SECOND],
    next: usize,
    /// Anomalies without a line.
    unlogged: u64,
    /// When the line with their number was last scheduled.
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

    /// Records an anomaly and decides whether it gets a line.
    pub(super) fn record(&mut self, now: Instant) -> AnomalyLogEntry {
        let oldest = &mut self.logged[self.next];
        if oldest.is_none_or(|oldest| since(oldest, now) >= SECOND) {
            *oldest = Some(now);
            self.next = (self.next + 1) % MAX_PER_SECOND;
            return AnomalyLogEntry::Logged;
        }
        self.unlogged += 1;
        // Scheduled again after two seconds: the thread with the timer may have ended.
        if self
            .scheduled
            .is_some_and(|scheduled| since(scheduled, now) < 2 * SECOND)
        {
            return AnomalyLogEntry::Counted;
        }
        self.scheduled = Some(now);
        AnomalyLogEntry::First
    }

    /// The number of anomalies without a line, to be logged now. If the last such line is less than a second old, zero and
    /// the time to wait: a limiter that is opened, flooded and closed repeatedly logs no more than one that stays open.
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

/// Where a limiter's anomalies go. JavaScript sets it; the thread that reports an anomaly reads it.
#[derive(Debug, Default)]
pub(super) struct AnomalyTarget(AtomicU8);

impl AnomalyTarget {
    /// Nowhere: the limiter only tests the connection.
    pub(super) const NONE: u8 = 0;
    /// The log, within its limit.
    pub(super) const LOG: u8 = 1;
    /// A listener.
    pub(super) const LISTENER: u8 = 2;

    /// One of the constants above.
    pub(super) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Selects the listener if there is one, otherwise the log.
    pub(super) fn set(&self, has_listener: bool) {
        let target = if has_listener {
            Self::LISTENER
        } else {
            Self::LOG
        };
        self.0.store(target, Ordering::Relaxed);
    }
}

/// The log of the process.
pub(super) static ANOMALY_LOG: Mutex<AnomalyLog> = Mutex::new(AnomalyLog::new());

/// The number of anomalies to log in one line now, and in how many ms to call again (0: not at all).
#[napi]
pub fn take_unlogged_anomalies() -> Vec<f64> {
    let (count, wait) = ANOMALY_LOG.lock().take_unlogged(Instant::now());
    // Rounded up: 0 means that nothing is left to log.
    vec![count as f64, (wait.as_secs_f64() * 1000.0).ceil()]
}

/// Records an anomaly whose listener was removed after it was reported. Returns the number of an [`AnomalyLogEntry`].
#[napi]
pub fn record_anomaly() -> u32 {
    ANOMALY_LOG.lock().record(Instant::now()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn ten_lines_in_any_second_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut log = AnomalyLog::new();
        let lines: Vec<_> = (0..5000)
            .map(|n| start + n * MS)
            .filter(|&now| log.record(now) == AnomalyLogEntry::Logged)
            .collect();
        assert_eq!(lines.len(), 50);
        for pair in lines.windows(MAX_PER_SECOND + 1) {
            assert!(pair[MAX_PER_SECOND] - pair[0] >= SECOND);
        }
        assert_eq!(log.take_unlogged(start + 5 * SECOND).0, 4950);
    }

    #[test]
    fn few_anomalies_are_all_logged() {
        let start = Instant::now();
        let mut log = AnomalyLog::new();
        for n in 0..100 {
            assert_eq!(log.record(start + n * 100 * MS), AnomalyLogEntry::Logged);
        }
        assert_eq!(log.take_unlogged(start + 100 * SECOND), (0, Duration::ZERO));
    }

    #[test]
    fn the_rest_is_logged_once_and_once_a_second() {
        let start = Instant::now();
        let mut log = AnomalyLog::new();
        let entries: Vec<_> = (0..100).map(|_| log.record(start)).collect();
        assert_eq!(
            entries[9..12],
            [
                AnomalyLogEntry::Logged,
                AnomalyLogEntry::First,
                AnomalyLogEntry::Counted
            ]
        );
        assert_eq!(log.take_unlogged(start + SECOND), (90, Duration::ZERO));
        assert_eq!(log.take_unlogged(start + SECOND), (0, Duration::ZERO));
        (0..30).for_each(|_| _ = log.record(start + SECOND));
        assert_eq!(log.take_unlogged(start + 1200 * MS), (0, 800 * MS));
        assert_eq!(log.take_unlogged(start + 2000 * MS), (20, Duration::ZERO));
    }

    #[test]
    fn limiters_that_are_opened_flooded_and_closed_log_eleven_lines_a_second() {
        let start = Instant::now();
        let mut log = AnomalyLog::new();
        let (mut lines, mut counts) = (0, 0);
        for n in 0..5000 {
            let now = start + n * MS;
            lines += u32::from(log.record(now) == AnomalyLogEntry::Logged);
            // It closes.
            counts += u32::from(log.take_unlogged(now).0 > 0);
        }
        assert_eq!((lines, counts), (50, 5));
    }

    #[test]
    fn a_lost_timer_is_scheduled_anew() {
        let start = Instant::now();
        let mut log = AnomalyLog::new();
        let entries = (0..4000).map(|n| (n, log.record(start + n * MS)));
        let scheduled: Vec<_> = entries
            .filter(|(_, e)| *e == AnomalyLogEntry::First)
            .collect();
        assert_eq!(
            scheduled,
            [(10, AnomalyLogEntry::First), (2010, AnomalyLogEntry::First)]
        );
    }
}
