//! When it is checked what is overdue.

use std::time::{Duration, Instant};

/// Shortest time between two checks.
pub(super) const SOONEST: Duration = Duration::from_secs(1);
/// Longest time between two checks.
pub(super) const LATEST: Duration = Duration::from_mins(1);

/// A check that is later than this is one of a machine that stood still, perhaps for long before the check was due, or of a
/// pipeline that was busy.
const LATE: Duration = Duration::from_millis(50);

/// Times of the checks. A machine may stand still, such as a virtual one that is moved: then the samplers did not go on either,
/// and they are given [`SOONEST`] to report before their readings are taken for too old.
#[derive(Debug)]
pub(super) struct CheckTimes {
    last: Instant,
    put_off: Option<Instant>,
}

impl CheckTimes {
    /// With a check at `now`.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            last: now,
            put_off: None,
        }
    }

    /// How long there is to wait until the next check, if something may be overdue at `first`; nothing where it is due now.
    pub(super) fn rest(&mut self, first: Instant, now: Instant) -> Duration {
        let next = first.clamp(self.last + SOONEST, self.last + LATEST);
        if now < next {
            self.put_off = None;
            return next - now;
        }
        let is_late = now > next + LATE;
        let until = *self.put_off.get_or_insert(if is_late { now + SOONEST } else { now });
        until.saturating_duration_since(now)
    }

    /// There was a check at `now`.
    pub(super) const fn checked(&mut self, now: Instant) {
        *self = Self::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn checks_have_bounds_on_both_sides() {
        let begun = Instant::now();
        let mut times = CheckTimes::new(begun);
        assert_eq!(times.rest(begun, begun), SOONEST);
        assert_eq!(times.rest(begun + 3 * SOONEST, begun + SOONEST), 2 * SOONEST);
        assert_eq!(times.rest(begun + 2 * LATEST, begun), LATEST);
        assert_eq!(times.rest(begun + 3 * SOONEST, begun + 3 * SOONEST), Duration::ZERO);
        times.checked(begun + 3 * SOONEST);
        assert_eq!(times.rest(begun, begun + 3 * SOONEST), SOONEST);
    }

    #[test]
    fn after_a_standstill_the_samplers_may_report_before_the_check_and_only_once() {
        let begun = Instant::now();
        let mut times = CheckTimes::new(begun);
        let due = begun + 3 * SOONEST;
        let awake = due + 10 * SOONEST;
        assert_eq!(times.rest(due, awake), SOONEST);
        // A run came, of one of them.
        assert_eq!(times.rest(due, awake + 400 * MS), 600 * MS);
        // All have come, and nothing is due.
        assert_eq!(
            times.rest(due, awake + 9 * SOONEST),
            Duration::ZERO,
            "it is not put off again"
        );
        // All have come, and nothing is due before the next standstill.
        let due = awake + 10 * SOONEST;
        assert_eq!(times.rest(due, awake + 9 * SOONEST), SOONEST);
        assert_eq!(times.rest(due, due + SOONEST), SOONEST);
    }
}
