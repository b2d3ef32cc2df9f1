//! Which readings of a counter of energy can be.

use std::time::{Duration, Instant};

/// No GPU uses more on average.
const MOST_WATTS: u64 = 10_000;
/// The counter is a little ahead of or behind the time between two readings.
const SLACK: Duration = Duration::from_secs(1);
/// Reasons why a reading is not shown.
const WENT_BACK: &str = "energy.went_back";
const IMPLAUSIBLE: &str = "energy.implausible";

/// The counter of one GPU.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// The last one that was shown.
    shown: Option<Reading>,
    /// The last one that was not, since the last one that was.
    doubted: Option<Reading>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    millijoules: u64,
    at: Instant,
}

impl Reading {
    /// Whether the counter can have got from here to there.
    fn leads_to(self, next: Self) -> bool {
        let elapsed = next.at.saturating_duration_since(self.at) + SLACK;
        // Watts times milliseconds are millijoules.
        let most = u128::from(MOST_WATTS) * elapsed.as_millis();
        let grown = next.millijoules.checked_sub(self.millijoules);
        grown.is_some_and(|grown| u128::from(grown) <= most)
    }
}

impl Meter {
    /// Whether a reading can be shown, else the reason why not. One that is smaller than the one before is shown only once
    /// the counter has grown from it: a GPU that was reset counts on, and one that reads 0 for a while does not.
    pub(super) fn take(&mut self, millijoules: u64, at: Instant) -> Result<(), &'static str> {
        let now = Reading { millijoules, at };
        let went_back = self.shown.is_none_or(|shown| millijoules < shown.millijoules);
        let is_next = match self.shown {
            Some(shown) => shown.leads_to(now),
            // A first one that is 0 may be no count.
            None => millijoules > 0,
        };
        let is_confirmed = || {
            let before = self.doubted.filter(|before| before.millijoules < millijoules);
            went_back && before.is_some_and(|before| before.leads_to(now))
        };
        if is_next || is_confirmed() {
            *self = Self {
                shown: Some(now),
                doubted: None,
            };
            return Ok(());
        }
        self.doubted = Some(now);
        Err(match self.shown {
            Some(_) if went_back => WENT_BACK,
            _ => IMPLAUSIBLE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOULE: u64 = 1000;
    const MEGAJOULE: u64 = 1_000_000 * JOULE;

    /// What becomes of readings 10 s after one another.
    fn taken<const N: usize>(readings: [u64; N]) -> [Result<(), &'static str>; N] {
        let (mut meter, mut at) = (Meter::default(), Instant::now());
        readings.map(|millijoules| {
            at += Duration::from_secs(10);
            meter.take(millijoules, at)
        })
    }

    #[test]
    fn one_reading_of_zero_or_less_than_before_is_left_out() {
        for once in [0, 1, MEGAJOULE - 1, MEGAJOULE / 2] {
            let readings = [MEGAJOULE, once, MEGAJOULE + 5 * JOULE, MEGAJOULE + 9 * JOULE];
            assert_eq!(taken(readings), [Ok(()), Err(WENT_BACK), Ok(()), Ok(())], "{once}");
        }
        let zeros = [MEGAJOULE, 0, 0, 0, MEGAJOULE + 9 * JOULE];
        assert_eq!(
            taken(zeros),
            [Ok(()), Err(WENT_BACK), Err(WENT_BACK), Err(WENT_BACK), Ok(())]
        );
        assert_eq!(taken([0, MEGAJOULE, MEGAJOULE]), [Err(IMPLAUSIBLE), Ok(()), Ok(())]);
    }

    #[test]
    fn a_counter_that_begins_anew_is_shown_from_the_second_reading_on() {
        for first in [0, 50 * JOULE] {
            let readings = [MEGAJOULE, first, first + 900 * JOULE, first + 1800 * JOULE];
            assert_eq!(taken(readings), [Ok(()), Err(WENT_BACK), Ok(()), Ok(())], "{first}");
        }
    }

    #[test]
    fn more_than_ten_kilowatts_is_left_out_until_that_time_has_passed() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        let mut take = |millijoules, seconds| meter.take(millijoules, begun + Duration::from_secs(seconds));
        assert_eq!(take(MEGAJOULE, 0), Ok(()));
        assert_eq!(take(MEGAJOULE + 110_000 * JOULE, 10), Ok(()), "10 kW, and 1 s of slack");
        assert_eq!(take(2 * MEGAJOULE, 11), Err(IMPLAUSIBLE));
        assert_eq!(take(u64::MAX, 12), Err(IMPLAUSIBLE));
        assert_eq!(take(2 * MEGAJOULE + JOULE, 13), Err(IMPLAUSIBLE), "twice is no less");
        assert_eq!(take(MEGAJOULE + 110_500 * JOULE, 14), Ok(()));
        assert_eq!(take(2 * MEGAJOULE, 14 + 90), Ok(()));
    }

    #[test]
    fn a_gpu_that_did_not_answer_for_long_has_used_what_it_can_have_used() {
        let (mut meter, begun) = (Meter::default(), Instant::now());
        assert_eq!(meter.take(MEGAJOULE, begun), Ok(()));
        assert_eq!(meter.take(3 * MEGAJOULE, begun + Duration::from_hours(1)), Ok(()));
    }
}
