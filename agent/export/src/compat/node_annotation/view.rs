//! Text of the annotation: JSON with the keys, the order and the types that the replaced collector wrote and its reader
//! decodes (k8s_monitor at a81d106: `deploy/k8s-monitor-npu-collector.yaml` writes, `internal/datasource` reads).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::compat::names::{attribute, instrument};
use accelscope_core::metric::key::ACCEL_DEVICE_ADDRESS;
use accelscope_core::metric::{Attributes, Series, Timestamp, Value};
use accelscope_core::percent;

/// Readings older than this are not shown; without any the annotation is removed.
pub const MAX_AGE: Duration = Duration::from_mins(3);

/// Largest number of chips; a node has 16 or fewer. All annotations of an object share 256 KiB.
const MAX_CHIPS: usize = 128;
/// Largest number of characters of a bus address or a state; real ones have up to 12 and 8.
const MAX_WORD: usize = 32;

/// The annotation's text, or `None` where no chip has a reading younger than [`MAX_AGE`].
pub fn annotation(series: &[Series], now: Timestamp) -> Option<String> {
    View::of(series, now).map(|view| view.to_string())
}

/// The annotation, with its timestamp apart from its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Time of the newest reading.
    pub(super) read: Timestamp,
    /// JSON of the chips.
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
            if now.since(one.time) < MAX_AGE && found.entry((npu, chip)).or_default().add(one, number) {
                read = read.max(Some(one.time));
            }
        }
        let chips: Vec<Chip> = found
            .iter()
            .filter(|(_, readings)| **readings != Readings::default())
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

/// One chip. The reader's integers are Go's `int`: it drops the whole annotation for a fraction.
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
    /// MiB.
    hbm_used: Option<i64>,
    hbm_total: Option<i64>,
}

/// The series of one chip that are shown.
#[derive(Default, PartialEq)]
struct Readings<'a> {
    info: Option<Reading<'a>>,
    health: Option<Reading<'a>>,
    power: Option<Reading<'a>>,
    temperature: Option<Reading<'a>>,
    utilization: Option<Reading<'a>>,
    used: Option<Reading<'a>>,
    total: Option<Reading<'a>>,
}

#[derive(Clone, Copy, PartialEq)]
struct Reading<'a> {
    attributes: &'a Attributes,
    number: f64,
}

impl<'a> Readings<'a> {
    /// Keeps a series that is shown; returns whether it is one.
    fn add(&mut self, series: &'a Series, number: f64) -> bool {
        let attributes = &*series.attributes;
        let hbm = || attributes.text(attribute::ASCEND_MEMORY_TYPE) == Some("hbm");
        let place = match series.instrument.name {
            instrument::ASCEND_DEVICE_INFO => &mut self.info,
            // A state set: the current state has the value 1.
            instrument::ASCEND_HEALTH_STATUS if number > 0.0 => &mut self.health,
            instrument::POWER => &mut self.power,
            instrument::TEMPERATURE => &mut self.temperature,
            instrument::NPU_UTILIZATION => &mut self.utilization,
            instrument::NPU_MEMORY_USAGE if hbm() => &mut self.used,
            instrument::NPU_MEMORY_LIMIT if hbm() => &mut self.total,
            _ => return false,
        };
        // The series of the whole chip has fewer attributes than that of a part of it, such as a second sensor.
        if place.is_none_or(|other| attributes.len() < other.attributes.len()) {
            *place = Some(Reading { attributes, number });
        }
        true
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
            // Lower case in the attribute as in sysfs, upper case in the replaced collector.
            bus_id: word(self.info, ACCEL_DEVICE_ADDRESS)
                .unwrap_or_default()
                .to_ascii_uppercase(),
            // The vendor's word for a state that could not be read.
            health: word(self.health, attribute::ASCEND_HEALTH).unwrap_or_else(|| "UNKNOWN".to_owned()),
            // One decimal, as the vendor's tool prints it.
            power: self.power.map(|watts| (watts.number * 10.0).round() / 10.0),
            temp: self.temperature.map(|degrees| degrees.number.round() as i64),
            aicore: self.utilization.map(|ratio| percent(ratio.number).round() as i64),
            hbm_used: mebibytes(self.used),
            hbm_total: mebibytes(self.total),
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
