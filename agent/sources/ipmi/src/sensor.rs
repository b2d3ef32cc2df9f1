//! One sensor: its instruments and series, its readings and limits.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Point, Timestamp};

use crate::bmc::{Bmc, CallError, Channel, Command, Target};
use crate::identity::Identity;
use crate::key::{HW_ID, HW_LIMIT_TYPE, HW_NAME, HW_PARENT, HW_SENSOR_LOCATION, HW_STATE, HW_TYPE};
use crate::sdr::{Analog, Record, Scale, Thresholds, Unit};
use crate::skipped::Skipped;
use crate::{entity, plausible};

const SENSOR_EVENT: u8 = 0x04;
const GET_SENSOR_THRESHOLDS: u8 = 0x27;
const GET_SENSOR_READING: u8 = 0x2d;
/// Bits of a reading's second byte (35.14): the sensor is scanned; its reading is not available.
const SCANNING: u8 = 1 << 6;
const UNAVAILABLE: u8 = 1 << 5;
/// Sensor types (table 42-3).
const FAN: u8 = 0x04;
const POWER_SUPPLY: u8 = 0x08;
const DRIVE_SLOT: u8 = 0x0d;
/// Values of `hw.limit_type` in the order of [`Thresholds`]. The convention has none for "non-recoverable".
const LIMITS: [&str; 6] = [
    "low.degraded",
    "low.critical",
    "low.non_recoverable",
    "high.degraded",
    "high.critical",
    "high.non_recoverable",
];
/// Values of `hw.state` for sensors of states.
const STATES: [&str; 3] = ["ok", "degraded", "failed"];
/// Failures in a row after which a sensor is left out of a request, then of twice as many.
const PATIENT: u32 = 3;
const MOST_PAUSE: u32 = 64;
/// Readings after which the thresholds are asked again: an hour at the default period.
const THRESHOLDS_AGAIN: u32 = 120;

/// What a sensor's reading is shown as.
#[derive(Debug)]
enum Quantity {
    Number {
        instrument: &'static Instrument,
        limit: Option<&'static Instrument>,
        range: RangeInclusive<f64>,
        analog: Analog,
    },
    /// Bits of the states that say it is there, failed or degraded (table 42-3).
    States { present: u16, failed: u16, degraded: u16 },
}

/// A sensor.
#[derive(Debug)]
pub(crate) struct Sensor {
    target: Target,
    number: u8,
    quantity: Quantity,
    /// Of the value, or one set a state.
    series: Vec<Arc<Attributes>>,
    /// Of a power, while the server's own has no series: it is part of nothing then that is shown.
    root: Option<Arc<Attributes>>,
    limits: Vec<(Arc<Attributes>, f64)>,
    last: Option<Last>,
    failures: u32,
    /// Requests that leave it out.
    pause: u32,
    /// Readings until the thresholds are asked.
    thresholds_in: u32,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    time: Timestamp,
    value: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reading {
    Number(f64),
    /// Place in [`STATES`].
    State(usize),
}

impl Sensor {
    /// `None` for one that no instrument fits.
    pub(crate) fn new(record: &Record, identity: &Identity) -> Option<Self> {
        let (kind, _) = entity::of(record.entity);
        let quantity = match &record.scale {
            Scale::Analog(analog) => number(record.kind, kind, analog)?,
            Scale::States => states(record.kind)?,
        };
        let id: Vec<Attribute> = vec![
            (HW_ID, identity.sensor(record).into()),
            (HW_NAME, record.name.as_str().into()),
            (HW_PARENT, identity.hw_id.as_str().into()),
            (
                HW_SENSOR_LOCATION,
                entity::location(record.entity, record.instance).into(),
            ),
        ];
        let with = |more: &[Attribute]| Arc::new(Attributes::new(id.iter().chain(more).cloned()));
        let series = match &quantity {
            Quantity::Number { instrument, .. } if instrument.attributes.contains(&HW_TYPE) => {
                vec![with(&[(HW_TYPE, kind.into())])]
            }
            Quantity::Number { .. } => vec![with(&[])],
            Quantity::States { .. } => {
                let kind = if record.kind == POWER_SUPPLY {
                    "power_supply"
                } else {
                    "physical_disk"
                };
                let of = |state: &&str| with(&[(HW_TYPE, kind.into()), (HW_STATE, (*state).into())]);
                STATES.iter().map(of).collect()
            }
        };
        let mut sensor = Self {
            target: record.target,
            number: record.number,
            root: root(&quantity, &series),
            quantity,
            series,
            limits: Vec::new(),
            last: None,
            failures: 0,
            pause: 0,
            thresholds_in: 0,
        };
        sensor.set_limits();
        Some(sensor)
    }

    /// Whether this request leaves it out, because it has failed.
    pub(crate) fn is_paused(&mut self) -> bool {
        let is_paused = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        is_paused
    }

    /// Reads it, and at times its thresholds. A failure of the sensor is counted; one of the BMC is returned.
    pub(crate) fn read<C: Channel>(&mut self, bmc: &mut Bmc<C>, skipped: &mut Skipped) -> Result<(), CallError> {
        let answer = self.ask(bmc, GET_SENSOR_READING);
        let data = match answer {
            Ok(data) => data,
            Err(CallError::NoTime) => return Err(CallError::NoTime),
            Err(error) => {
                self.last = None;
                self.failures = self.failures.saturating_add(1);
                if self.failures >= PATIENT {
                    self.pause = 1_u32
                        .checked_shl(self.failures - PATIENT)
                        .map_or(MOST_PAUSE, |pause| pause.min(MOST_PAUSE));
                }
                if let CallError::Lost(_) = error {
                    return Err(error);
                }
                skipped.error(&error);
                return Ok(());
            }
        };
        self.failures = 0;
        self.last = self.value(&data, skipped).map(|value| Last {
            at: Instant::now(),
            time: Timestamp::now(),
            value,
        });
        self.thresholds(bmc)
    }

    fn ask<C: Channel>(&self, bmc: &mut Bmc<C>, cmd: u8) -> Result<Vec<u8>, CallError> {
        bmc.call(Command {
            target: self.target,
            netfn: SENSOR_EVENT,
            cmd,
            data: &[self.number],
        })
    }

    fn value(&self, data: &[u8], skipped: &mut Skipped) -> Option<Reading> {
        let [raw, flags, rest @ ..] = data else {
            skipped.add("malformed");
            return None;
        };
        // Of a server that is off, or a slot that is empty: nothing is missing.
        if flags & SCANNING == 0 || flags & UNAVAILABLE != 0 {
            return None;
        }
        match &self.quantity {
            Quantity::Number { range, analog, .. } => {
                let value = value(analog, *raw).filter(|value| range.contains(value));
                if value.is_none() {
                    skipped.add("implausible");
                }
                value.map(Reading::Number)
            }
            Quantity::States {
                present,
                failed,
                degraded,
            } => {
                // Bit 7 of the second byte is reserved and set.
                let [low, high] = [0, 1].map(|at| rest.get(at).copied().unwrap_or_default());
                let states = u16::from_le_bytes([low, high & 0x7f]);
                let state = if states & failed != 0 {
                    2
                } else {
                    usize::from(states & degraded != 0)
                };
                (states & (present | failed | degraded) != 0).then_some(Reading::State(state))
            }
        }
    }

    /// Those of the record are the ones that the BMC begins with (35.9).
    fn thresholds<C: Channel>(&mut self, bmc: &mut Bmc<C>) -> Result<(), CallError> {
        let Quantity::Number {
            limit: Some(_), analog, ..
        } = &self.quantity
        else {
            return Ok(());
        };
        if analog.thresholds == Thresholds::default() {
            return Ok(());
        }
        if self.thresholds_in > 0 {
            self.thresholds_in -= 1;
            return Ok(());
        }
        match self.ask(bmc, GET_SENSOR_THRESHOLDS) {
            Ok(data) => {
                if let (Some(now), Quantity::Number { analog, .. }) = (thresholds(&data), &mut self.quantity) {
                    analog.thresholds = now;
                    self.set_limits();
                }
            }
            // Those of the record stay.
            Err(CallError::Refused(_) | CallError::Malformed) => {}
            Err(error) => return Err(error),
        }
        self.thresholds_in = THRESHOLDS_AGAIN;
        Ok(())
    }

    fn set_limits(&mut self) {
        self.limits.clear();
        let Quantity::Number {
            limit: Some(_),
            range,
            analog,
            ..
        } = &self.quantity
        else {
            return;
        };
        for (raw, kind) in analog.thresholds.0.into_iter().zip(LIMITS) {
            if let Some(value) = raw
                .and_then(|raw| value(analog, raw))
                .filter(|value| range.contains(value))
            {
                let attributes = self.series[0].with([(HW_LIMIT_TYPE, kind.into())]);
                self.limits.push((Arc::new(attributes), value));
            }
        }
    }

    /// Adds the points of the last reading, unless it is older than `keep`. `has_total`: the server's own power is shown.
    pub(crate) fn points(&self, keep: Duration, has_total: bool, points: &mut Vec<Point>, skipped: &mut Skipped) {
        let Some(last) = &self.last else { return };
        if last.at.elapsed() > keep {
            skipped.add("late");
            return;
        }
        match (&self.quantity, last.value) {
            (Quantity::Number { instrument, limit, .. }, Reading::Number(value)) => {
                let series = self.root.as_ref().filter(|_| !has_total).unwrap_or(&self.series[0]);
                points.push(Point::new(instrument, Arc::clone(series), value, last.time));
                for (attributes, value) in limit.iter().flat_map(|_| &self.limits) {
                    points.extend(limit.map(|limit| Point::new(limit, Arc::clone(attributes), *value, last.time)));
                }
            }
            (Quantity::States { .. }, Reading::State(state)) => {
                for (at, attributes) in self.series.iter().enumerate() {
                    let value = i64::from(at == state);
                    points.push(Point::new(&hw::STATUS, Arc::clone(attributes), value, last.time));
                }
            }
            _ => {}
        }
    }
}

/// A power's series without `hw.parent`. What is contained in another is left out of sums, so that it names only what is shown.
fn root(quantity: &Quantity, series: &[Arc<Attributes>]) -> Option<Arc<Attributes>> {
    let Quantity::Number { instrument, .. } = quantity else {
        return None;
    };
    let rest = series.first()?.iter().filter(|(key, _)| *key != HW_PARENT).cloned();
    (**instrument == hw::POWER).then(|| Arc::new(Attributes::new(rest)))
}

/// The value in the instrument's unit.
fn value(analog: &Analog, raw: u8) -> Option<f64> {
    let value = analog.factors.value(raw)?;
    Some(match analog.unit {
        Unit::Fahrenheit => (value - 32.0) / 1.8,
        Unit::Kelvin => value - 273.15,
        Unit::Percent => value / 100.0,
        Unit::Celsius | Unit::Volt | Unit::Ampere | Unit::Watt | Unit::Rpm => value,
    })
}

fn number(sensor: u8, part: &str, analog: &Analog) -> Option<Quantity> {
    type Shown = (&'static Instrument, Option<&'static Instrument>, RangeInclusive<f64>);
    let (instrument, limit, range): Shown = match analog.unit {
        Unit::Celsius | Unit::Fahrenheit | Unit::Kelvin => {
            (&hw::TEMPERATURE, Some(&hw::TEMPERATURE_LIMIT), plausible::TEMPERATURE)
        }
        Unit::Volt => (&hw::VOLTAGE, Some(&hw::VOLTAGE_LIMIT), plausible::VOLTAGE),
        Unit::Ampere => (&hw::CURRENT, None, plausible::CURRENT),
        Unit::Watt if matches!(part, "cpu" | "memory") => (&hw::POWER, None, plausible::PART_POWER),
        Unit::Watt => (&hw::POWER, None, plausible::SERVER_POWER),
        Unit::Rpm => (&hw::FAN_SPEED, Some(&hw::FAN_SPEED_LIMIT), plausible::FAN_SPEED),
        Unit::Percent if sensor == FAN => (&hw::FAN_SPEED_RATIO, None, plausible::SHARE),
        Unit::Percent => return None,
    };
    let analog = analog.clone();
    Some(Quantity::Number {
        instrument,
        limit,
        range,
        analog,
    })
}

/// Of a power supply: presence; failure and lost input; predicted failure, input out of range, wrong configuration. Of a
/// drive: presence; fault; predicted failure and the states of its array.
const fn states(sensor: u8) -> Option<Quantity> {
    let (present, failed, degraded) = match sensor {
        POWER_SUPPLY => (0b1, 0b1_1010, 0b110_0100),
        DRIVE_SLOT => (0b1, 0b10, 0b1_1110_0100),
        _ => return None,
    };
    Some(Quantity::States {
        present,
        failed,
        degraded,
    })
}

/// Get Sensor Thresholds: the mask of those that can be read, and all six.
fn thresholds(data: &[u8]) -> Option<Thresholds> {
    let [mask, values @ ..] = data else { return None };
    let values: &[u8; 6] = values.first_chunk()?;
    Some(Thresholds(std::array::from_fn(|at| {
        (mask & (1 << at) != 0).then_some(values[at])
    })))
}
