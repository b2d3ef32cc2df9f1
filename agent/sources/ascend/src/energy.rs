//! Energy, integrated from power: neither the tool nor the library reports it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use accelscope_core::metric::Timestamp;

/// Energy of each chip.
#[derive(Debug)]
pub(super) struct Energy<K> {
    longest_gap: Duration,
    totals: HashMap<K, Total>,
}

#[derive(Debug)]
struct Total {
    joules: f64,
    start: Timestamp,
    last: (f64, Instant),
}

impl<K: Eq + Hash> Energy<K> {
    /// A gap between two readings that is longer than `longest_gap` adds nothing: the power in it is unknown.
    pub(super) fn new(longest_gap: Duration) -> Self {
        Self {
            longest_gap,
            totals: HashMap::new(),
        }
    }

    /// Energy in joules since the first reading, and the time of that.
    pub(super) fn add(&mut self, chip: K, watts: f64, now: Instant, time: Timestamp) -> (f64, Timestamp) {
        let total = self.totals.entry(chip).or_insert(Total {
            joules: 0.0,
            start: time,
            last: (watts, now),
        });
        let (before, at) = std::mem::replace(&mut total.last, (watts, now));
        let gap = now.saturating_duration_since(at);
        if gap <= self.longest_gap {
            // Trapezoidal rule: both readings are instantaneous values.
            total.joules += f64::midpoint(before, watts) * gap.as_secs_f64();
        }
        (total.joules, total.start)
    }

    /// Drops the chips that no longer exist.
    pub(super) fn retain(&mut self, mut is_there: impl FnMut(&K) -> bool) {
        self.totals.retain(|chip, _| is_there(chip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joules(total: (f64, Timestamp)) -> i64 {
        total.0.round() as i64
    }

    #[test]
    fn power_is_integrated_and_a_gap_adds_nothing() {
        let mut energy = Energy::new(Duration::from_secs(30));
        let (start, time) = (Instant::now(), Timestamp::from_unix_nanos);
        let mut add = |watts, seconds| energy.add("a", watts, start + Duration::from_secs(seconds), time(seconds));
        assert_eq!(joules(add(100.0, 0)), 0);
        assert_eq!(joules(add(200.0, 10)), 1500);
        assert_eq!(joules(add(200.0, 100)), 1500, "the power in these 90 s is unknown");
        let last = add(200.0, 101);
        assert_eq!((joules(last), last.1), (1700, time(0)));
        energy.retain(|_| false);
        let again = energy.add("a", 5.0, start + Duration::from_secs(200), time(200));
        assert_eq!((joules(again), again.1), (0, time(200)));
    }
}
