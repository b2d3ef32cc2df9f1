//! A size that the receiver takes, found by what it refuses and kept.

use std::ops::RangeInclusive;

/// Most requests of the learnt size that pass before a larger one is tried.
const MOST_PATIENCE: u32 = 4096;

/// Unlimited at first. Once a size was refused the smaller one is kept for some requests before a larger one is tried, and for
/// twice as many after each such try that fails: so tries cost less and less of what passes, and a limit that was raised is
/// found all the same.
#[derive(Debug)]
pub(super) struct Learnt {
    size: u64,
    unlimited: u64,
    bounds: RangeInclusive<u32>,
    /// Requests of the learnt size that pass before a larger one is tried, and those that passed.
    patience: u32,
    passed: u32,
    /// Whether a larger size than the learnt one is tried.
    is_trying: bool,
}

impl Learnt {
    /// `patience` is the number of requests before the first try.
    pub(super) const fn new(unlimited: u64, patience: u32) -> Self {
        Self {
            size: unlimited,
            unlimited,
            bounds: patience..=MOST_PATIENCE,
            patience,
            passed: 0,
            is_trying: false,
        }
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// More than `size` is too much.
    pub(super) fn shrink(&mut self, size: u64) {
        if std::mem::take(&mut self.is_trying) {
            self.patience = (self.patience * 2).min(*self.bounds.end());
        }
        self.size = size.max(1);
        self.passed = 0;
    }

    /// A request of this size passed.
    pub(super) fn passed(&mut self, size: u64) {
        if self.size == self.unlimited || size <= self.size / 2 {
            return;
        }
        if std::mem::take(&mut self.is_trying) {
            self.patience = *self.bounds.start();
        }
        self.passed += 1;
        if self.passed >= self.patience {
            self.passed = 0;
            self.is_trying = true;
            self.size = self.size.saturating_mul(2).min(self.unlimited);
        }
    }
}
