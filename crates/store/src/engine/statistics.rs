//! What the writer counts of itself, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::StoreError;
use vocabulary::clock::Timestamp;

/// Buckets by powers of two: 1, 2, 4, … 2²³.
const BUCKETS: usize = 24;

/// A histogram whose buckets end at powers of two.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Pairs of upper bound (inclusive) and how many values it took.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.buckets.iter().enumerate().map(|(i, count)| (1 << i, count.load(Relaxed)))
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets().map(|(_, count)| count).sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }
}

/// Commits since the start.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Jobs per commit.
    pub batch_jobs: Histogram,
    /// Microseconds from taking a batch to its commit.
    pub commit_us: Histogram,
    /// Bytes that the write-ahead log held when last looked at; its file may be larger.
    pub wal_bytes: AtomicU64,
    /// How often a batch waited for the database's answer; nothing where the database is in this process.
    pub round_trips: Histogram,
    failing: Mutex<Option<Failing>>,
}

/// Nothing can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Since then, with no commit in between.
    pub since: Timestamp,
    /// Why the last commit failed.
    pub reason: String,
}

impl Statistics {
    pub(crate) fn committed(&self, jobs: usize, took: Duration) {
        self.batch_jobs.record(jobs as u64);
        self.commit_us.record(took.as_micros() as u64);
    }

    /// A batch has waited so often for the database's answer.
    pub(crate) fn waited(&self, round_trips: u64) {
        self.round_trips.record(round_trips);
    }

    /// A commit has failed, or none has.
    pub(crate) fn note_failure(&self, failed: Option<&StoreError>, now: Timestamp) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        *failing = failed.map(|error| {
            let since = failing.as_ref().map_or(now, |failing| failing.since);
            Failing { since, reason: error.to_string() }
        });
    }

    /// Whether nothing can be written, as far as the last commit told.
    pub fn failing(&self) -> Option<Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_that_ends_at_or_above_them() {
        let histogram = Histogram::default();
        for value in [1, 2, 3, 4, 5, 1_000] {
            histogram.record(value);
        }
        let filled: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (4, 2), (8, 1), (1_024, 1)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 1_015));
    }
}
