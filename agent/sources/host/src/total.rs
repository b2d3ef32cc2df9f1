//! A counter that never goes backwards, of one that may.
//!
//! The kernel's times of idle and iowait are estimates that decrease by some ticks when tasks move between CPUs ("the value of
//! iowait field in /proc/stat may decrease", Documentation/filesystems/proc.rst). When a CPU goes offline they fall by minutes
//! and when it comes back they rise by as much, since idle time is counted in another way meanwhile (`get_idle_time`,
//! fs/proc/stat.c, Linux 6.18).

/// Decreases up to so much are waited for, in the counter's unit; after larger ones it goes on from where it is.
const WAIT: u64 = 100;

/// Such a counter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Total {
    last: Option<u64>,
    total: u64,
}

/// What a new reading did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It grew, or stayed.
    Forward,
    /// It fell by a little, and is waited for.
    Waits,
    /// It fell by much, and what it counted meanwhile is unknown.
    Fell,
    /// It grew by more than it can, which does not count.
    Leapt,
}

impl Total {
    /// Takes a new reading, which can have grown by at most `most`. Returns the total, and how it came to it.
    pub(crate) fn advance(&mut self, raw: u64, most: u64) -> (u64, Step) {
        let step = match self.last {
            None => {
                self.total = raw;
                Step::Forward
            }
            Some(last) if raw >= last && raw - last <= most => {
                self.total = self.total.saturating_add(raw - last);
                Step::Forward
            }
            Some(last) if raw >= last => Step::Leapt,
            Some(last) if last - raw <= WAIT => return (self.total, Step::Waits),
            Some(_) => Step::Fell,
        };
        self.last = Some(raw);
        (self.total, step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_steps_back_are_waited_for_and_large_ones_forgotten() {
        let mut total = Total::default();
        let mut after = |raw| total.advance(raw, 1000);
        assert_eq!(after(1_000_000), (1_000_000, Step::Forward));
        assert_eq!(after(999_990), (1_000_000, Step::Waits));
        assert_eq!(after(999_999), (1_000_000, Step::Waits));
        let once = "what was waited for is not counted twice";
        assert_eq!(after(1_000_001), (1_000_001, Step::Forward), "{once}");
        // A CPU goes offline and comes back.
        assert_eq!(after(500_000), (1_000_001, Step::Fell));
        assert_eq!(after(500_010), (1_000_011, Step::Forward));
        assert_eq!(after(1_000_020), (1_000_011, Step::Leapt));
        assert_eq!(after(1_000_021), (1_000_012, Step::Forward));
    }

    proptest! {
        #[test]
        fn it_never_falls_and_grows_no_faster_than_it_can(
            raws in prop::collection::vec(prop_oneof![any::<u64>(), 0..500_u64], 1..50),
        ) {
            let mut total = Total::default();
            let (mut last, _) = total.advance(raws[0], 50);
            for raw in raws {
                let (now, _) = total.advance(raw, 50);
                prop_assert!(now >= last && now - last <= 50);
                last = now;
            }
        }
    }
}
