//! Throttling by the CPU quotas of a group and of the one around it.

use super::counter::{Counter, Refused};
use super::parse::field;

/// Shortest period of a quota in ns (`min_cfs_quota_period`, kernel/sched/core.c).
const SHORTEST_PERIOD: u64 = 1_000_000;

/// `cpu.stat` of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) periods: u64,
    pub(super) throttled: u64,
    /// In ns.
    pub(super) time: u64,
}

impl Stat {
    /// v2 has µs, v1 ns. Nothing where the group has no controller of the CPU.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let time = field(text, "throttled_time").or_else(|| field(text, "throttled_usec")?.checked_mul(1000));
        Some(Self {
            periods: field(text, "nr_periods")?,
            throttled: field(text, "nr_throttled")?,
            time: time?,
        })
    }

    const fn numbers(self) -> [u64; 3] {
        [self.periods, self.throttled, self.time]
    }
}

/// What was throttled since the first look, and before it by the group itself.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    own: [Counter; 3],
    around: [Counter; 3],
    total: Option<[u64; 3]>,
}

impl Throttle {
    /// Takes a reading of the group and one of that around it, and returns what was throttled since the last one: of both the
    /// larger growth, since what is held back by both waits once.
    pub(super) fn take(&mut self, own: Stat, around: Option<Stat>, most: u64, elapsed: u64) -> Result<Stat, Refused> {
        let periods = elapsed / SHORTEST_PERIOD + 1;
        let bounds = [periods, periods, most];
        let is_first = self.total.is_none();
        let mut growth = taken(&mut self.own, own, bounds);
        // What the pod's other containers did before is not this one's.
        if let Some(Ok(around)) = around.map(|around| taken(&mut self.around, around, bounds))
            && let Ok(own) = &mut growth
        {
            own.iter_mut()
                .zip(around)
                .for_each(|(own, around)| *own = around.max(*own));
        }
        let growth = growth?;
        let total = self.total.get_or_insert(own.numbers());
        if !is_first {
            total
                .iter_mut()
                .zip(growth)
                .for_each(|(total, growth)| *total = total.saturating_add(growth));
        }
        let [periods, throttled, time] = growth;
        Ok(Stat {
            periods,
            throttled,
            time,
        })
    }

    pub(super) fn total(&self) -> Option<Stat> {
        self.total.map(|[periods, throttled, time]| Stat {
            periods,
            throttled,
            time,
        })
    }

    /// The next reading of the group around is the first one.
    pub(super) fn forget_around(&mut self) {
        self.around = Default::default();
    }

    /// The group itself is a new one.
    pub(super) fn restart(&mut self) {
        self.own.iter_mut().for_each(Counter::restart);
    }
}

fn taken(counters: &mut [Counter; 3], now: Stat, most: [u64; 3]) -> Result<[u64; 3], Refused> {
    let mut result = Ok([0; 3]);
    for (at, counter) in counters.iter_mut().enumerate() {
        // Each takes its reading, so that the next one is compared with it.
        match counter.take(now.numbers()[at], most[at]) {
            Ok(grown) => {
                if let Ok(all) = &mut result {
                    all[at] = grown;
                }
            }
            Err(refused) => result = Err(refused),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn stat(periods: u64, throttled: u64, time: u64) -> Stat {
        Stat {
            periods,
            throttled,
            time,
        }
    }

    #[test]
    fn both_versions_of_the_file_are_read_in_the_same_unit() {
        let v1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 4000000\n";
        let v2 = "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 4000\nnr_bursts 0\n";
        assert_eq!(Stat::parse(v1), Some(stat(10, 3, 4_000_000)));
        assert_eq!(Stat::parse(v2), Stat::parse(v1));
        assert_eq!(Stat::parse("usage_usec 9\nuser_usec 1\n"), None, "no controller");
    }

    #[test]
    fn the_larger_growth_of_group_and_pod_counts() {
        let mut throttle = Throttle::default();
        let mut take = |own, around| throttle.take(own, around, 8 * SECOND, SECOND).unwrap();
        assert_eq!(
            take(stat(100, 50, 5 * SECOND), Some(stat(900, 800, 90 * SECOND))),
            stat(0, 0, 0)
        );
        assert_eq!(
            take(stat(110, 50, 5 * SECOND), Some(stat(910, 807, 91 * SECOND))),
            stat(10, 7, SECOND)
        );
        assert_eq!(take(stat(120, 60, 7 * SECOND), None), stat(10, 10, 2 * SECOND));
        assert_eq!(
            throttle.total(),
            Some(stat(120, 67, 8 * SECOND)),
            "the group's own and what was added"
        );
    }

    #[test]
    fn what_cannot_be_is_not_added() {
        let mut throttle = Throttle::default();
        throttle.take(stat(10, 5, SECOND), None, SECOND, SECOND).unwrap();
        let too_fast = throttle.take(stat(11, 6, 9 * SECOND), None, SECOND, SECOND);
        assert_eq!(too_fast, Err(Refused::Implausible));
        let back = throttle.take(stat(1, 1, 1), None, SECOND, SECOND);
        assert_eq!(back, Err(Refused::WentBack));
        throttle.restart();
        assert_eq!(throttle.take(stat(3, 2, 10), None, SECOND, SECOND), Ok(stat(3, 2, 10)));
        assert_eq!(throttle.total(), Some(stat(13, 7, SECOND + 10)));
    }
}
