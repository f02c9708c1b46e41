//! Histograms with fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};

/// Observations by bucket. An observation is a search among a few bounds and two additions.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: [u64; N],
    counts: [AtomicU64; N],
    /// Observations above the last bound.
    above: AtomicU64,
    sum: AtomicU64,
}

/// The values of a histogram at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bounds, included, in rising order.
    pub bounds: Vec<u64>,
    /// Observations of each bucket, not cumulative; the last count is of those above the last bound.
    pub counts: Vec<u64>,
    /// The sum of all observations.
    pub sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// `bounds` are upper bounds, included, in rising order.
    pub(super) fn new(bounds: [u64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub(super) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        let count = self.counts.get(bucket).unwrap_or(&self.above);
        count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Its present values.
    pub(super) fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.counts.iter().chain([&self.above]);
        HistogramSnapshot {
            bounds: self.bounds.to_vec(),
            counts: counts.map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_observation_in_one_bucket() {
        let histogram = Histogram::new([10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            histogram.observe(value);
        }
        let read = histogram.snapshot();
        assert_eq!(read.bounds, [10, 20]);
        assert_eq!(read.counts, [2, 2, 2]);
        assert_eq!(read.sum, 1_062);
    }
}
