//! Counts of what fell between fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};

/// Observations by bucket. The bounds are fixed, so that to observe is a search among a few numbers and two additions.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u64; N],
    counts: [AtomicU64; N],
    /// Above the last bound.
    beyond: AtomicU64,
    sum: AtomicU64,
}

/// What a histogram shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds, included, in rising order.
    pub bounds: Vec<u64>,
    /// Observations of each bucket alone; one more than there are bounds, for what is above the last.
    pub counts: Vec<u64>,
    /// Of all observations.
    pub sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// `bounds` are upper ones, included, in rising order.
    pub fn new(bounds: [u64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        let count = self.counts.get(bucket).unwrap_or(&self.beyond);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it shows.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.counts.iter().chain([&self.beyond]);
        HistogramSnapshot {
            bounds: self.bounds.to_vec(),
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}
