//! The annotation's text: JSON with the keys, the order and the types that the replaced collector wrote and its reader
//! decodes (k8s_monitor at a81d106: `deploy/k8s-monitor-npu-collector.yaml` writes, `internal/datasource` reads).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::compat::names::{attribute, instrument};
use accelscope_core::metric::key::ACCEL_DEVICE_ADDRESS;
use accelscope_core::metric::{Attributes, Series, Timestamp, Value};

/// Readings older than this are no longer shown, and without any the annotation goes.
pub const MAX_AGE: Duration = Duration::from_mins(3);

/// Chips shown; a node has 16 or fewer. All annotations of an object share 256 KiB.
const MAX_CHIPS: usize = 128;
/// Characters of a bus address or state shown; real ones have 12 and 8 at most.
const MAX_WORD: usize = 32;

/// What the annotation says now, or nothing where no chip has a reading younger than [`MAX_AGE`].
pub fn annotation(series: &[Series], now: Timestamp) -> Option<String> {
    View::of(series, now).map(|view| view.to_string())
}

/// The annotation, its timestamp apart from what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// When the newest of the readings was made.
    pub(super) read: Timestamp,
    /// The chips' JSON.
    pub(super) chips: String,
}

impl View {
    pub(super) fn of(series: &[Series], now: Timestamp) -> Option<Self> {
        let mut found: BTreeMap<(i64, i64), Readings<'_>> = BTreeMap::new();
        let mut read = None;
        for one in series {
            let Some(number) = one.value.as_ref().and_then(Value::as_f64) else {
                continue;
            };
            let (Some(npu), Some(chip)) = (
                one.attributes.int(attribute::ASCEND_NPU_ID),
                one.attributes.int(attribute::ASCEND_CHIP_ID),
            ) else {
                continue;
            };
            if now.since(one.time) < MAX_AGE && found.entry((npu, chip)).or_default().take(one, number) {
                read = read.max(Some(one.time));
            }
        }
        let chips: Vec<Chip> = found
            .iter()
            .filter(|(_, readings)| !readings.is_empty())
            .take(MAX_CHIPS)
            .map(|(&(npu, chip), readings)| readings.show(npu, chip))
            .collect();
        Some(Self {
            read: read?,
            chips: serde_json::to_string(&chips).ok()?,
        })
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.read.unix_nanos() / 1_000_000_000).unwrap_or_default();
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        write!(f, r#"{{"timestamp":"{time:.0}","chips":{}}}"#, self.chips)
    }
}

/// One chip, as it is written. The reader's integers are Go's `int`: a fraction would make it drop the whole annotation.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the reader's keys")]
struct Chip {
    npu: i64,
    chip: i64,
    phy_id: Option<i64>,
    bus_id: String,
    health: String,
    /// Watts.
    power: Option<f64>,
    /// Degrees Celsius.
    temp: Option<i64>,
    /// Percent.
    aicore: Option<i64>,
    /// MiB, under the collector's name for them.
    hbm_used: Option<i64>,
    hbm_total: Option<i64>,
}

/// The series of one chip that are shown.
#[derive(Default)]
struct Readings<'a> {
    info: Option<Reading<'a>>,
    health: Option<Reading<'a>>,
    power: Option<Reading<'a>>,
    temperature: Option<Reading<'a>>,
    utilization: Option<Reading<'a>>,
    used: Option<Reading<'a>>,
    total: Option<Reading<'a>>,
}

#[derive(Clone, Copy)]
struct Reading<'a> {
    attributes: &'a Attributes,
    number: f64,
}

impl<'a> Readings<'a> {
    /// Whether it is one that is shown.
    fn take(&mut self, series: &'a Series, number: f64) -> bool {
        let attributes = &*series.attributes;
        let hbm = || attributes.text(attribute::ASCEND_MEMORY_TYPE) == Some("hbm");
        let place = match series.instrument.name {
            instrument::ASCEND_DEVICE_INFO => &mut self.info,
            // A state set: the state that is, is the one at 1.
            instrument::ASCEND_HEALTH_STATUS if number > 0.0 => &mut self.health,
            instrument::POWER => &mut self.power,
            instrument::TEMPERATURE => &mut self.temperature,
            instrument::NPU_UTILIZATION => &mut self.utilization,
            instrument::NPU_MEMORY_USAGE if hbm() => &mut self.used,
            instrument::NPU_MEMORY_LIMIT if hbm() => &mut self.total,
            _ => return false,
        };
        // The chip's own series has fewer attributes than one of a part of the chip, such as a second sensor.
        if place.is_none_or(|other| attributes.len() < other.attributes.len()) {
            *place = Some(Reading { attributes, number });
        }
        true
    }

    fn is_empty(&self) -> bool {
        let all = [
            self.info,
            self.health,
            self.power,
            self.temperature,
            self.utilization,
            self.used,
            self.total,
        ];
        all.iter().all(Option::is_none)
    }

    fn show(&self, npu: i64, chip: i64) -> Chip {
        let mebibytes =
            |bytes: Option<Reading<'_>>| bytes.map(|read| (read.number / f64::from(1 << 20)).round() as i64);
        let word = |reading: Option<Reading<'_>>, key| {
            let word = reading.and_then(|reading| reading.attributes.text(key));
            word.map(|word| word.chars().take(MAX_WORD).collect::<String>())
        };
        Chip {
            npu,
            chip,
            phy_id: self
                .info
                .and_then(|info| info.attributes.int(attribute::ASCEND_PHYSICAL_ID)),
            // The model has it as sysfs does, in small letters; the tool and the replaced collector have it in capitals.
            bus_id: word(self.info, ACCEL_DEVICE_ADDRESS)
                .unwrap_or_default()
                .to_ascii_uppercase(),
            // The vendor's own word for a state that could not be had.
            health: word(self.health, attribute::ASCEND_HEALTH).unwrap_or_else(|| "UNKNOWN".to_owned()),
            // One decimal, as the tool prints it: a sum of floating point would differ in digits that mean nothing.
            power: self.power.map(|watts| (watts.number * 10.0).round() / 10.0),
            temp: self.temperature.map(|degrees| degrees.number.round() as i64),
            aicore: self.utilization.map(|ratio| (ratio.number * 100.0).round() as i64),
            hbm_used: mebibytes(self.used),
            hbm_total: mebibytes(self.total),
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
