//! A point in time on the two clocks that a reading needs.

use std::time::Instant;

use super::Timestamp;

/// When something was read: the wall clock for the points, the monotonic clock for intervals and ages.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// By the monotonic clock.
    pub instant: Instant,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads both clocks.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}
