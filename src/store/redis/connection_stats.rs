//! What is counted of connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of several stores, say all of a process. Numbers that never go back, but for those that are open.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    opened: AtomicU64,
    closed: AtomicU64,
    replacements: AtomicU64,
    failed: AtomicU64,
}

impl ConnectionStats {
    /// One has been made; `replaces`: in the place of one that was lost.
    pub(super) fn opened(&self, replaces: bool) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let more = u64::from(replaces);
        self.replacements.fetch_add(more, Ordering::Relaxed);
    }

    /// One has ended.
    pub(super) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt has failed.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Made so far.
    pub fn made(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// In use now.
    pub fn open(&self) -> u64 {
        self.made()
            .saturating_sub(self.closed.load(Ordering::Relaxed))
    }

    /// Made in the place of one that was lost.
    pub fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub fn failures(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
