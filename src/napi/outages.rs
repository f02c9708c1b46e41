//! What one limiter has logged of its store's outages, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use napi_derive::napi;
use parking_lot::{Mutex, MutexGuard};

use super::io_thread::IoThread;
use super::outage_log::{Away, Key, Line, OutageLog};
use super::record::Event;
use super::sink::{JsSink, anomaly_log};

static OUTAGES: Mutex<OutageLog<Arc<JsSink>>> = Mutex::new(OutageLog::new());

static WRITERS: AtomicU64 = AtomicU64::new(0);

/// One open limiter's part in the log. Dropped, it logs nothing more.
pub(super) struct OutageWriter {
    key: Key,
    number: u64,
    way: Arc<JsSink>,
    io: Arc<IoThread>,
}

impl OutageWriter {
    pub(super) fn new(key: Key, way: Arc<JsSink>, io: Arc<IoThread>) -> Self {
        let number = WRITERS.fetch_add(1, Ordering::Relaxed);
        Self {
            key,
            number,
            way,
            io,
        }
    }

    /// The store has gone away. Whether that is to be logged now.
    pub(super) fn away(&self, away: Away) -> bool {
        let way = Arc::clone(&self.way);
        let line = outages().away(&self.key, self.number, way, away, Instant::now());
        if let Line::At(due) = line {
            let key = self.key.clone();
            // A timer of the I/O thread, which goes with the last limiter: it holds no process.
            self.io.handle().spawn(async move {
                tokio::time::sleep_until(due.into()).await;
                log_if_due(&key);
            });
        }
        line == Line::Now
    }

    /// The store is back. As [`OutageLog::back`].
    pub(super) fn back(&self, lasted: Duration, decided: u64) -> Option<(Duration, u64)> {
        outages().back(&self.key, self.number, lasted, decided, Instant::now())
    }

    /// What has changed is not logged.
    pub(super) fn leave(&self) {
        outages().leave(&self.key, self.number, Instant::now());
    }
}

impl Drop for OutageWriter {
    fn drop(&mut self) {
        self.leave();
    }
}

fn log_if_due(key: &Key) {
    let due = outages().due(key, Instant::now());
    if let Some((way, away)) = due {
        way.completions.push([Event::StillAway {
            limiter: way.limiter,
            text: [away.code, away.shard],
        }]);
    }
}

fn outages() -> MutexGuard<'static, OutageLog<Arc<JsSink>>> {
    OUTAGES.lock()
}

/// How many anomalies have not been logged, to be logged now, and in how many ms to ask again.
#[napi]
pub fn more_anomalies() -> Vec<f64> {
    let (more, wait) = anomaly_log().more(Instant::now());
    // Rounded up: no wait means that there is nothing left.
    vec![more as f64, (wait.as_secs_f64() * 1000.0).ceil()]
}

/// Takes an anomaly into the log that was reported to a listener who has gone since. As [`Entry`](super::anomaly_log::Entry),
/// by its position.
#[napi]
pub fn enter_anomaly() -> u32 {
    anomaly_log().enter(Instant::now()) as u32
}
