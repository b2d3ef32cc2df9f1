//! The time of a reading, by the clocks that it needs.

use std::time::Duration;

use accelscope_core::metric::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// A sleep shorter than this is not told from the time between the readings of two clocks.
const SHORTEST_SLEEP: Duration = Duration::from_millis(500);

/// A moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Time that the machine has been awake since its boot (CLOCK_MONOTONIC).
    pub(crate) awake: Duration,
    /// Time that it has been suspended since its boot.
    pub(crate) asleep: Duration,
    /// By the wall clock.
    pub(crate) wall: Timestamp,
}

impl Now {
    /// Reads the clocks.
    pub(crate) fn read() -> Self {
        let clock = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
        let awake = clock(ClockId::Monotonic);
        Self {
            awake,
            asleep: clock(ClockId::Boottime).saturating_sub(awake),
            wall: Timestamp::now(),
        }
    }

    /// Time awake since then.
    pub(crate) fn since(self, before: Self) -> Duration {
        self.awake.saturating_sub(before.awake)
    }

    /// Whether the machine was suspended in between.
    pub(crate) fn has_slept_since(self, before: Self) -> bool {
        self.asleep.saturating_sub(before.asleep) >= SHORTEST_SLEEP
    }
}
