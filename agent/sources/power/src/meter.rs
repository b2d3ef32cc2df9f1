//! Energy by a counter of the hardware that wraps.
//!
//! The counter's value at the first reading says nothing: it may have wrapped any number of times since the boot. So a count
//! begins at 0 with the first reading and adds up what the counter grows by. Where it cannot be known by how much, the count
//! ends, and another begins at 0 with a start of its own: what was used in between is in neither.

use std::time::Duration;

use accelscope_core::metric::Timestamp;

use crate::now::Now;
use crate::reason::Reason;

/// Time and readings after which a counter that cannot stand still is one that does not work, and one that cannot be read is
/// not about to be. A package draws more than a watt, and the coarsest counters (`psys` of Xeons) count joules.
const LASTING: Duration = Duration::from_secs(10);
const LASTING_READINGS: u32 = 3;
/// What a counter may have grown by in addition to its highest power, in microjoules: it is updated each millisecond or so.
const GRAIN: f64 = 5e6;

/// What is known of a counter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Properties {
    /// Microjoules at which it wraps; `None` if it does not.
    pub(crate) range: Option<u64>,
    /// Most power in watts.
    pub(crate) watts: f64,
    /// What it counts is never without power while the machine runs.
    pub(crate) moves_always: bool,
}

impl Properties {
    /// Time within which it cannot wrap twice.
    pub(crate) fn unambiguous(&self) -> Option<Duration> {
        let seconds = self.range? as f64 / (self.watts * 1e6);
        // A range that a driver reports wrongly may be of any size.
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// A count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Count {
    /// Joules since the start.
    pub(crate) joules: f64,
    pub(crate) start: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    raw: u64,
    at: Now,
}

/// Counts the energy of one counter.
#[derive(Debug)]
pub(crate) struct Meter {
    properties: Properties,
    last: Option<Last>,
    /// Since when and over how many readings the counter has stood still, and whether that is longer than it can.
    still: Option<(Now, u32)>,
    is_frozen: bool,
    /// Since when and how often in succession it could not be read.
    missed: Option<(Now, u32)>,
    /// Microjoules, and since when they are counted; `None` as long as the counter has never been anything but 0.
    count: Option<(u64, Now)>,
    /// The count as it was last told, for the power since.
    told: Option<(u64, Now)>,
}

impl Meter {
    pub(crate) fn new(properties: Properties) -> Self {
        Self {
            properties,
            last: None,
            still: None,
            is_frozen: false,
            missed: None,
            count: None,
            told: None,
        }
    }

    pub(crate) fn properties(&self) -> Properties {
        self.properties
    }

    /// What was read as a value of this counter. The error is why it is none.
    pub(crate) fn value(&self, raw: i128) -> Result<u64, Reason> {
        let value = u64::try_from(raw).map_err(|_| Reason::Sentinel)?;
        if value == u64::MAX {
            return Err(Reason::Sentinel);
        }
        if self.properties.range.is_some_and(|range| value > range) {
            return Err(Reason::BeyondPhysics);
        }
        Ok(value)
    }

    /// Notes that it could not be read. A count that others may be part of goes on with the next reading, but not for ever.
    pub(crate) fn miss(&mut self, at: Now) {
        let (since, readings) = self.missed.get_or_insert((at, 0));
        *readings = readings.saturating_add(1);
        if *readings >= LASTING_READINGS && at.since(*since) >= LASTING {
            (self.last, self.still, self.is_frozen) = (None, None, false);
            (self.count, self.told) = (None, None);
        }
    }

    /// Whether it could not be read the last time, and has no count that could go on.
    pub(crate) fn is_lost(&self) -> bool {
        self.missed.is_some() && self.last.is_none()
    }

    /// Takes a reading in microjoules. The error is why it counts nothing.
    pub(crate) fn read(&mut self, raw: i128, at: Now) -> Result<(), Reason> {
        let raw = self.value(raw).inspect_err(|_| self.miss(at))?;
        self.missed = None;
        let Some(last) = self.last.replace(Last { raw, at }) else {
            self.count = (raw > 0).then_some((0, at));
            return Ok(());
        };
        let grown = match self.grown(last, raw, at) {
            Ok(grown) => grown,
            Err(reason) => {
                self.restart(at);
                return Err(reason);
            }
        };
        if grown == 0 {
            return self.stand_still(last, at);
        }
        let begun = match self.count {
            Some(count) if !self.is_frozen => count,
            // It stood still until the last reading.
            _ => (0, last.at),
        };
        (self.still, self.is_frozen) = (None, false);
        match begun.0.checked_add(grown) {
            Some(total) => self.count = Some((total, begun.1)),
            None => self.restart(at),
        }
        Ok(())
    }

    fn grown(&self, last: Last, raw: u64, at: Now) -> Result<u64, Reason> {
        if at.has_slept_since(last.at) {
            return Err(Reason::Suspended);
        }
        let elapsed = at.since(last.at);
        if self.properties.unambiguous().is_some_and(|longest| elapsed > longest) {
            return Err(Reason::Ambiguous);
        }
        let most = self.properties.watts * 1e6 * elapsed.as_secs_f64() + GRAIN;
        if let Some(grown) = raw.checked_sub(last.raw) {
            return if grown as f64 <= most {
                Ok(grown)
            } else {
                Err(Reason::BeyondPhysics)
            };
        }
        let over = self.properties.range.map(|range| range - last.raw + raw);
        over.filter(|grown| *grown as f64 <= most).ok_or(Reason::Backwards)
    }

    fn stand_still(&mut self, last: Last, at: Now) -> Result<(), Reason> {
        let (since, readings) = self.still.get_or_insert((last.at, 0));
        *readings = readings.saturating_add(1);
        if !self.properties.moves_always || *readings < LASTING_READINGS || at.since(*since) < LASTING {
            return Ok(());
        }
        self.is_frozen = true;
        self.told = None;
        Err(Reason::Frozen)
    }

    fn restart(&mut self, at: Now) {
        self.count = Some((0, at));
        (self.told, self.still, self.is_frozen) = (None, None, false);
    }

    /// Whether there is a count.
    pub(crate) fn is_counting(&self) -> bool {
        self.count().is_some()
    }

    /// The count.
    pub(crate) fn count(&self) -> Option<Count> {
        let (total, start) = self.count.filter(|_| !self.is_frozen)?;
        Some(Count {
            joules: total as f64 / 1e6,
            start: start.wall,
        })
    }

    /// The count, and the power in watts since this was last called, if that is known.
    pub(crate) fn tell(&mut self) -> Option<(Count, Option<f64>)> {
        let count = self.count()?;
        let ((total, start), last) = (self.count?, self.last?);
        let (before, since) = self.told.replace((total, last.at)).unwrap_or((0, start));
        let seconds = last.at.since(since).as_secs_f64();
        let grown = total.saturating_sub(before);
        let is_known = seconds > 0.0 && (grown > 0 || !self.properties.moves_always);
        Some((count, is_known.then(|| grown as f64 / 1e6 / seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: u64 = 262_143_328_850;
    const JOULE: i128 = 1_000_000;

    fn at(seconds: f64) -> Now {
        Now {
            awake: Duration::from_secs_f64(seconds),
            asleep: Duration::ZERO,
            wall: Timestamp::from_unix_nanos((seconds * 1e9) as u64),
        }
    }

    fn package() -> Meter {
        Meter::new(Properties {
            range: Some(RANGE),
            watts: 2000.0,
            moves_always: true,
        })
    }

    /// Joules, start in seconds, and watts.
    type Told = (f64, f64, Option<f64>);

    /// What each reading (seconds, microjoules) tells.
    fn tell(meter: &mut Meter, readings: &[(f64, i128)]) -> Vec<Result<Option<Told>, Reason>> {
        let tell = |(seconds, raw): &(f64, i128)| {
            meter.read(*raw, at(*seconds))?;
            let told = meter.tell();
            Ok(told.map(|(count, watts)| (count.joules, count.start.unix_nanos() as f64 / 1e9, watts)))
        };
        readings.iter().map(tell).collect()
    }

    #[test]
    fn a_count_begins_at_the_first_reading_and_goes_over_a_wrap() {
        let range = i128::from(RANGE);
        let readings = [
            (10.0, range - 100 * JOULE),
            (20.0, range - 50 * JOULE),
            (30.0, 50 * JOULE),
        ];
        assert_eq!(
            tell(&mut package(), &readings),
            [
                Ok(Some((0.0, 10.0, None))),
                Ok(Some((50.0, 10.0, Some(5.0)))),
                Ok(Some((150.0, 10.0, Some(10.0))))
            ]
        );
    }

    #[test]
    fn two_missed_readings_lose_nothing_and_a_gap_with_room_for_two_wraps_is_not_guessed() {
        let mut meter = package();
        let told = tell(&mut meter, &[(0.0, 10 * JOULE), (30.0, 9010 * JOULE)]);
        assert_eq!(told[1], Ok(Some((9000.0, 0.0, Some(300.0)))));
        // 262,143 J at 2 kW: 131 s.
        let told = tell(&mut meter, &[(161.0, 100 * JOULE)]);
        assert!(matches!(told[0], Ok(Some(_))), "{told:?}");
        let told = tell(&mut meter, &[(293.0, 200 * JOULE), (303.0, 1200 * JOULE)]);
        assert_eq!(told, [Err(Reason::Ambiguous), Ok(Some((1000.0, 293.0, Some(100.0))))]);
    }

    #[test]
    fn what_no_wrap_explains_ends_the_count() {
        for (second, reason) in [
            (90_000 * JOULE, Reason::Backwards),
            (140_000 * JOULE, Reason::BeyondPhysics),
        ] {
            let told = tell(
                &mut package(),
                &[(0.0, 100_000 * JOULE), (10.0, second), (20.0, second + JOULE)],
            );
            assert_eq!(told[1..], [Err(reason), Ok(Some((1.0, 10.0, Some(0.1))))]);
        }
        let mut endless = Meter::new(Properties {
            range: None,
            watts: 2000.0,
            moves_always: false,
        });
        let told = tell(&mut endless, &[(0.0, 5 * JOULE), (10.0, 4 * JOULE)]);
        assert_eq!(told[1], Err(Reason::Backwards));
        for impossible in [-1, i128::from(RANGE) + 1, i128::from(u64::MAX), i128::MAX] {
            assert!(package().read(impossible, at(1.0)).is_err(), "{impossible}");
        }
    }

    #[test]
    fn a_counter_that_cannot_stand_still_and_does_is_frozen_until_it_moves() {
        // Readings that are rare prove as much.
        let rare = tell(
            &mut package(),
            &[(0.0, JOULE), (60.0, JOULE), (120.0, JOULE), (180.0, JOULE)],
        );
        assert_eq!(rare[2..], [Ok(Some((0.0, 0.0, None))), Err(Reason::Frozen)]);
        let told = tell(
            &mut package(),
            &[
                (0.0, JOULE),
                (2.0, JOULE),
                (4.0, JOULE),
                (6.0, JOULE),
                (10.0, JOULE),
                (20.0, JOULE),
                (30.0, 11 * JOULE),
                (40.0, 21 * JOULE),
            ],
        );
        assert_eq!(
            told,
            [
                Ok(Some((0.0, 0.0, None))),
                Ok(Some((0.0, 0.0, None))),
                Ok(Some((0.0, 0.0, None))),
                Ok(Some((0.0, 0.0, None))),
                Err(Reason::Frozen),
                Err(Reason::Frozen),
                Ok(Some((10.0, 20.0, Some(1.0)))),
                Ok(Some((20.0, 20.0, Some(1.0)))),
            ]
        );
    }

    #[test]
    fn an_idle_graphics_unit_uses_nothing_and_one_that_never_did_is_not_there() {
        let idle = || {
            Meter::new(Properties {
                range: Some(RANGE),
                watts: 2000.0,
                moves_always: false,
            })
        };
        let told = tell(&mut idle(), &[(0.0, JOULE), (10.0, JOULE), (20.0, JOULE)]);
        assert_eq!(
            told[1..],
            [Ok(Some((0.0, 0.0, Some(0.0)))), Ok(Some((0.0, 0.0, Some(0.0))))]
        );
        let told = tell(&mut idle(), &[(0.0, 0), (10.0, 0), (20.0, 3 * JOULE)]);
        assert_eq!(told, [Ok(None), Ok(None), Ok(Some((3.0, 10.0, Some(0.3))))]);
    }

    #[test]
    fn a_package_that_stays_at_zero_is_frozen_and_never_a_count() {
        let mut meter = package();
        let told = tell(&mut meter, &[(0.0, 0), (10.0, 0), (20.0, 0), (30.0, 0), (40.0, 0)]);
        let frozen = Err(Reason::Frozen);
        assert_eq!(told, [Ok(None), Ok(None), Ok(None), frozen, frozen]);
        assert_eq!(
            tell(&mut meter, &[(50.0, 3 * JOULE)]),
            [Ok(Some((3.0, 40.0, Some(0.3))))]
        );
    }

    #[test]
    fn a_count_outlives_a_missed_reading_and_none_that_last() {
        let mut meter = package();
        let first = tell(
            &mut meter,
            &[(0.0, JOULE), (10.0, 11 * JOULE), (12.0, -1), (20.0, 21 * JOULE)],
        );
        assert_eq!(first[3], Ok(Some((20.0, 0.0, Some(1.0)))));
        for seconds in [30.0, 32.0, 34.0] {
            meter.miss(at(seconds));
        }
        assert!(meter.is_counting() && !meter.is_lost(), "four seconds");
        meter.miss(at(40.0));
        assert!(!meter.is_counting() && meter.is_lost());
        let again = tell(&mut meter, &[(50.0, 51 * JOULE), (60.0, 61 * JOULE)]);
        assert_eq!(again, [Ok(Some((0.0, 50.0, None))), Ok(Some((10.0, 50.0, Some(1.0))))]);
    }

    #[test]
    fn a_suspend_may_have_reset_the_counter() {
        let mut meter = package();
        meter.read(5 * JOULE, at(0.0)).unwrap();
        let woken = Now {
            asleep: Duration::from_secs(3600),
            ..at(10.0)
        };
        assert_eq!(meter.read(JOULE, woken), Err(Reason::Suspended));
        let later = Now {
            awake: Duration::from_secs(20),
            ..woken
        };
        meter.read(3 * JOULE, later).unwrap();
        assert_eq!(meter.tell().map(|(count, _)| count.joules), Some(2.0));
    }

    #[test]
    fn readings_between_two_points_are_in_the_next() {
        let mut meter = package();
        for (seconds, joules) in [(0.0, 10), (60.0, 100_010), (120.0, 200_010)] {
            meter.read(joules * JOULE, at(seconds)).unwrap();
        }
        let wrapped = i128::from(RANGE);
        meter.read(300_010 * JOULE - wrapped, at(180.0)).unwrap();
        let (count, watts) = meter.tell().unwrap();
        assert_eq!((count.joules, watts.map(f64::round)), (300_000.0, Some(1667.0)));
    }
}
