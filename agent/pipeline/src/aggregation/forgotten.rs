//! Counters whose state was given up although they may go on.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::{Duration, Instant};

use accelscope_core::evict_oldest;
use accelscope_core::metric::{Point, Timestamp};

/// Most counters that are remembered, some 40 bytes each.
const MOST: usize = 8192;

/// How long they are remembered: what was not read for so long has ended, or is as good as new.
const MEMORY: Duration = Duration::from_hours(6);

/// Remembers counters, by a hash of their identity, whose last reading was given up: what comes back must not be counted a
/// second time.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    hasher: RandomState,
    counters: HashMap<u64, Memory>,
}

#[derive(Debug)]
struct Memory {
    since: Instant,
    /// Time of the last reading.
    read: Timestamp,
}

impl Forgotten {
    /// Its last reading, of the time `read`, is given up.
    pub(super) fn add(&mut self, identity: &impl Hash, read: Timestamp, now: Instant) {
        evict_oldest(&mut self.counters, MOST, |memory| memory.since);
        let memory = Memory { since: now, read };
        self.counters.insert(self.hasher.hash_one(identity), memory);
    }

    /// Whether a reading before this one was given up, and this one is of the same count; the answer is given once.
    pub(super) fn take(&mut self, identity: &impl Hash, point: &Point) -> bool {
        if self.counters.is_empty() {
            return false;
        }
        let memory = self.counters.remove(&self.hasher.hash_one(identity));
        memory.is_some_and(|memory| point.start.is_none_or(|start| start < memory.read))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Forgets those that were given up long ago.
    pub(super) fn evict(&mut self, now: Instant) {
        self.counters
            .retain(|_, memory| now.duration_since(memory.since) < MEMORY);
    }
}
