//! Counters of connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the connections of several stores, such as all of a process. All counters but that of open connections only grow.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    opened: AtomicU64,
    closed: AtomicU64,
    replacements: AtomicU64,
    failed: AtomicU64,
}

impl ConnectionStats {
    /// A connection was opened; `replaces`: in place of a lost one.
    pub(crate) fn opened(&self, replaces: bool) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let more = u64::from(replaces);
        self.replacements.fetch_add(more, Ordering::Relaxed);
    }

    /// A connection was closed.
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt to connect failed.
    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections opened so far.
    pub fn opened_total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.opened_total()
            .saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    /// Connections opened in place of a lost one.
    pub fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Relaxed)
    }

    /// Failed attempts to connect.
    pub fn failures(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
