//! How long to wait before the next attempt.

use std::time::Duration;

use rand::Rng;

/// Waits between attempts. The defaults are those of production; tests pass shorter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    first: Duration,
    longest: Duration,
    probe: Duration,
}

/// Longest wait that a server can ask for. A `Retry-After` of days, be it a mistake or the work of a wrong clock, must
/// not silence a node.
pub const LONGEST_ASKED: Duration = Duration::from_mins(5);

impl Pace {
    /// Waits of about `first` after the first failure, doubling up to `longest`; `probe` between attempts at a
    /// destination that refuses everything. `None` unless `0 < first <= longest` and `probe > 0`.
    pub fn new(first: Duration, longest: Duration, probe: Duration) -> Option<Self> {
        let valid = !first.is_zero() && first <= longest && !probe.is_zero();
        valid.then_some(Self { first, longest, probe })
    }

    /// Between attempts at a destination that refuses everything.
    pub(crate) const fn probe(self) -> Duration {
        self.probe
    }
}

impl Default for Pace {
    /// 1 s doubling to 30 s; a probe a minute.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            probe: Duration::from_mins(1),
        }
    }
}

/// Where one destination stands in its waits.
#[derive(Debug)]
pub(crate) struct Backoff {
    pace: Pace,
    step: Duration,
}

impl Backoff {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, step: pace.first }
    }

    /// The next wait: half of the step to all of it, by chance, so that a thousand nodes do not come back at once.
    /// What the server asked for comes on top, up to [`LONGEST_ASKED`].
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.step.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.step = (self.step * 2).min(self.pace.longest);
        wait + asked.unwrap_or_default().min(LONGEST_ASKED)
    }

    pub(crate) const fn reset(&mut self) {
        self.step = self.pace.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_with_jitter_below_and_start_anew_after_success() {
        let mut backoff = Backoff::new(Pace::default());
        for full in [1, 2, 4, 8, 16, 30, 30] {
            let (wait, full) = (backoff.next(None), Duration::from_secs(full));
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_secs(1));
    }

    #[test]
    fn what_the_server_asks_for_is_a_minimum_with_a_cap() {
        let mut backoff = Backoff::new(Pace::default());
        assert!(backoff.next(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.next(Some(Duration::from_hours(24))) <= LONGEST_ASKED + Duration::from_secs(30));
    }

    #[test]
    fn a_pace_that_would_spin_is_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(Pace::new(Duration::ZERO, second, second), None);
        assert_eq!(Pace::new(second * 2, second, second), None);
        assert_eq!(Pace::new(second, second, Duration::ZERO), None);
    }
}
