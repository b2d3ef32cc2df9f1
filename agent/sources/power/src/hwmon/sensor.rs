//! One sensor: a channel of a chip, such as `temp1`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use accelscope_core::host::sysfs;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Instrument, Point, Timestamp};

use super::kind::Kind;
use super::within;
use crate::attribute::Attribute;
use crate::identity::Identity;
use crate::key;
use crate::meter::{Meter, Properties};
use crate::now::Now;
use crate::quantity::{ENERGY_WATTS, PACKAGE_WATTS, Quantity};
use crate::reason::{Reason, Skipped};

/// A kind of channel, as its files begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Current,
    Energy,
    Fan,
    Voltage,
    Power,
    Temperature,
}

const FAMILIES: [(&str, Family); 6] = [
    ("curr", Family::Current),
    ("energy", Family::Energy),
    ("fan", Family::Fan),
    ("in", Family::Voltage),
    ("power", Family::Power),
    ("temp", Family::Temperature),
];

const STATES: [&str; 3] = ["ok", "degraded", "failed"];
const DEGRADED: usize = 1;
const FAILED: usize = 2;
/// Alarms (Documentation/hwmon/sysfs-interface.rst, "Alarms"), and which state each says: those of critical limits, which PMBus
/// calls faults and the others warnings, are worse. `alarm` alone is one of any limit.
const ALARMS: [(&str, usize); 7] = [
    ("alarm", DEGRADED),
    ("cap_alarm", DEGRADED),
    ("crit_alarm", FAILED),
    ("emergency_alarm", FAILED),
    ("lcrit_alarm", FAILED),
    ("max_alarm", DEGRADED),
    ("min_alarm", DEGRADED),
];

impl Family {
    /// `temp12_crit_alarm` as its family, number and attribute.
    pub(super) fn split(name: &str) -> Option<(Self, u32, &str)> {
        let (channel, attribute) = name.split_once('_')?;
        FAMILIES.iter().find_map(|(prefix, family)| {
            let number = channel.strip_prefix(prefix)?;
            // No sign, and no zero in front, so that each number has one channel.
            let is_plain =
                number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
            Some((*family, number.parse().ok().filter(|_| is_plain)?, attribute))
        })
    }

    fn prefix(self) -> &'static str {
        FAMILIES
            .iter()
            .find(|(_, family)| *family == self)
            .map_or("", |(prefix, _)| prefix)
    }

    /// `of` is the `hw.type` of what it is of.
    fn measures(self, of: &str) -> Option<(Quantity, &'static Instrument)> {
        Some(match self {
            Self::Power if of == "cpu" => (Quantity::PackagePower, &hw::POWER),
            Self::Current => (Quantity::Current, &hw::CURRENT),
            Self::Fan => (Quantity::Fan, &hw::FAN_SPEED),
            Self::Voltage => (Quantity::Voltage, &hw::VOLTAGE),
            Self::Power => (Quantity::Power, &hw::POWER),
            Self::Temperature => (Quantity::Temperature, &hw::TEMPERATURE),
            Self::Energy => return None,
        })
    }
}

/// A channel.
#[derive(Debug)]
pub(super) struct Sensor {
    family: Family,
    /// `temp1`.
    channel: String,
    label: Option<String>,
    /// What a power or an energy is of (`hw.type`).
    of: &'static str,
    /// The files of its value; the first that has one is taken.
    inputs: Vec<Attribute>,
    fault: Option<Attribute>,
    /// With the state that each says.
    alarms: Vec<(Attribute, usize)>,
    limits: Vec<Limit>,
    meter: Meter,
    hw_id: String,
    attributes: Arc<Attributes>,
    states: Vec<Arc<Attributes>>,
    /// Whether the last reading was a value, and whether any was.
    has_value: bool,
    had_value: bool,
}

/// A limit of a temperature, which changes rarely.
#[derive(Debug)]
struct Limit {
    kind: &'static str,
    path: PathBuf,
    attributes: Arc<Attributes>,
    value: Option<(f64, Timestamp)>,
}

impl Sensor {
    /// None where the files have neither a value nor a state.
    pub(super) fn new(
        chip: &Path,
        kind: &Kind,
        family: Family,
        number: u32,
        attributes: &BTreeSet<&str>,
    ) -> Option<Self> {
        let channel = format!("{}{number}", family.prefix());
        let path = |attribute: &str| chip.join(format!("{channel}_{attribute}"));
        let open = |attribute: &str| attributes.contains(attribute).then(|| Attribute::new(path(attribute)));
        let average = open("average").filter(|_| family == Family::Power);
        let inputs: Vec<Attribute> = average.into_iter().chain(open("input")).collect();
        let fault = open("fault");
        let alarms = ALARMS
            .into_iter()
            .filter_map(|(name, state)| Some((open(name)?, state)));
        let alarms: Vec<(Attribute, usize)> = alarms.collect();
        if inputs.is_empty() && fault.is_none() && alarms.is_empty() {
            return None;
        }
        if kind.in_rapl && matches!(family, Family::Power | Family::Energy) {
            return None;
        }
        let limits = [("crit", "high.critical"), ("max", "high.degraded")];
        let limits = limits.into_iter().filter(|_| family == Family::Temperature);
        let limit = |(attribute, kind): (&str, &'static str)| {
            attributes.contains(attribute).then(|| Limit {
                kind,
                path: path(attribute),
                attributes: Arc::new(Attributes::empty()),
                value: None,
            })
        };
        let label = attributes.contains("label").then(|| sysfs::text(&path("label")));
        let label = label.flatten();
        let of = within::kind(&kind.name, family, label.as_deref().unwrap_or_default()).unwrap_or(kind.of);
        Some(Self {
            family,
            label,
            of,
            inputs,
            fault,
            alarms,
            limits: limits.filter_map(limit).collect(),
            meter: Meter::new(Properties {
                range: None,
                watts: most_watts(of),
                // Rails may be off.
                moves_always: false,
            }),
            hw_id: String::new(),
            attributes: Arc::new(Attributes::empty()),
            states: Vec::new(),
            has_value: false,
            had_value: false,
            channel,
        })
    }

    /// Whether that is the same channel, with the same files.
    pub(super) fn is(&self, other: &Self) -> bool {
        let paths = |sensor: &Self| {
            let alarms = sensor.alarms.iter().map(|(alarm, _)| alarm);
            let files = sensor.inputs.iter().chain(&sensor.fault).chain(alarms);
            let limits = sensor.limits.iter().map(|limit| limit.path.clone());
            files
                .map(|file| file.path().to_owned())
                .chain(limits)
                .collect::<Vec<_>>()
        };
        self.channel == other.channel && self.label == other.label && paths(self) == paths(other)
    }

    /// Its label, or the channel's name.
    pub(super) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.channel)
    }

    pub(super) fn hw_id(&self) -> &str {
        &self.hw_id
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Whether it measures the power of a whole machine, and has done so.
    pub(super) fn is_machine_meter(&self) -> bool {
        self.family == Family::Power && self.of == "enclosure" && self.had_value
    }

    /// Whether its last reading was a value.
    pub(super) fn has_value(&self) -> bool {
        self.has_value
    }

    /// Whether it has a series. A count goes on after a missed reading, and holds then what its parts counted meanwhile.
    pub(super) fn has_series(&self) -> bool {
        match self.family {
            Family::Energy => self.meter.is_counting(),
            _ => self.has_value,
        }
    }

    /// Makes the attributes of its points.
    pub(super) fn identify(&mut self, place: &str, identity: &Identity, kind: &Kind) {
        let hw_id = identity.hw_id(&format!("{place}/{}", self.channel));
        if hw_id == self.hw_id {
            return;
        }
        self.hw_id = hw_id;
        let of = match self.family {
            Family::Current | Family::Power | Family::Energy => self.of,
            Family::Fan => "fan",
            Family::Voltage => "voltage",
            Family::Temperature => "temperature",
        };
        let common = Attributes::new([
            (key::HW_ID, self.hw_id.as_str().into()),
            (key::HW_NAME, format!("{}/{}", kind.name, self.label()).into()),
        ]);
        let location = || [(key::HW_SENSOR_LOCATION, self.label().into())];
        let of = || [(key::HW_TYPE, of.into())];
        let own = match self.family {
            Family::Power | Family::Energy => common.with(of()),
            _ => common.with(location()),
        };
        self.states = STATES
            .into_iter()
            .map(|state| Arc::new(common.with(of()).with([(key::HW_STATE, state.into())])))
            .collect();
        for limit in &mut self.limits {
            limit.attributes = Arc::new(own.with([(key::HW_LIMIT_TYPE, limit.kind.into())]));
        }
        self.attributes = Arc::new(own);
    }

    /// Its points of those of the chip.
    pub(super) fn owns(&self, point: &Point) -> bool {
        Arc::ptr_eq(&point.attributes, &self.attributes)
    }

    /// Marks a value as part of what another sensor measures, by that one's `hw.id`. Returns the attributes before and after, if
    /// they are others now.
    pub(super) fn set_parent(&mut self, parent: Option<&str>) -> Option<[Arc<Attributes>; 2]> {
        if parent == self.attributes.text(key::HW_PARENT) {
            return None;
        }
        let others = self
            .attributes
            .iter()
            .filter(|(key, _)| *key != key::HW_PARENT)
            .cloned();
        let parent = parent.map(|parent| (key::HW_PARENT, parent.into()));
        let after = Arc::new(Attributes::new(others.chain(parent)));
        Some([std::mem::replace(&mut self.attributes, after.clone()), after])
    }

    pub(super) fn read_limits(&mut self) {
        for limit in &mut self.limits {
            let raw = crate::attribute::once(limit.path.clone()).ok().flatten();
            // Chips that were not configured have 0 or the end of the register's range.
            let set = raw.filter(|raw| *raw > 0);
            let value = set.and_then(|raw| Quantity::Temperature.value(raw).ok());
            limit.value = value.map(|value| (value, Timestamp::now()));
        }
    }

    /// Adds its points.
    pub(super) fn read(&mut self, points: &mut Vec<Point>, skipped: &Skipped) {
        let counted = |result: Result<Option<i128>, Reason>| {
            result.unwrap_or_else(|reason| {
                skipped.add(reason);
                None
            })
        };
        let is_set = |file: &mut Attribute| counted(file.number()).map(|raw| raw != 0);
        let is_faulty = self.fault.as_mut().and_then(is_set);
        // A channel with a fault has a value that means nothing.
        let point = if is_faulty == Some(true) {
            None
        } else {
            self.first_value().unwrap_or_else(|reason| {
                skipped.add(reason);
                None
            })
        };
        self.has_value = point.is_some();
        self.had_value |= self.has_value;
        points.extend(point);
        for limit in self.limits.iter().filter(|_| self.has_value) {
            if let Some((value, time)) = limit.value {
                points.push(Point::new(
                    &hw::TEMPERATURE_LIMIT,
                    limit.attributes.clone(),
                    value,
                    time,
                ));
            }
        }
        // Each is read: some drivers clear an alarm that was.
        let alarms = self.alarms.iter_mut();
        let alarms = alarms.filter_map(|(alarm, state)| Some(if is_set(alarm)? { *state } else { 0 }));
        let alarms: Vec<usize> = alarms.collect();
        let fault = is_faulty.map(|is_faulty| if is_faulty { FAILED } else { 0 });
        let Some(state) = alarms.into_iter().chain(fault).max() else {
            return;
        };
        let time = Timestamp::now();
        for (nth, attributes) in self.states.iter().enumerate() {
            points.push(Point::new(
                &hw::STATUS,
                attributes.clone(),
                i64::from(nth == state),
                time,
            ));
        }
    }

    /// That of the first file that has one, or why the first has none.
    fn first_value(&mut self) -> Result<Option<Point>, Reason> {
        let mut why = None;
        for nth in 0..self.inputs.len() {
            let now = Now::read();
            let raw = self.inputs[nth].number();
            if !matches!(raw, Ok(Some(_))) {
                self.meter.miss(now);
            }
            let point = raw.and_then(|raw| raw.map_or(Ok(None), |raw| self.value(raw, now)));
            match point {
                Ok(Some(point)) => return Ok(Some(point)),
                Ok(None) => {}
                Err(reason) => why = why.or(Some(reason)),
            }
        }
        why.map_or(Ok(None), Err)
    }

    fn value(&mut self, raw: i128, now: Now) -> Result<Option<Point>, Reason> {
        let Some((quantity, instrument)) = self.family.measures(self.of) else {
            self.meter.read(raw, now)?;
            let told = self.meter.tell().map(|(count, _)| {
                let mut point = Point::new(&hw::ENERGY, self.attributes.clone(), count.joules, now.wall);
                point.start = Some(count.start);
                point
            });
            return Ok(told);
        };
        let value = quantity.value(raw)?;
        Ok(Some(Point::new(instrument, self.attributes.clone(), value, now.wall)))
    }
}

/// Most power at which an energy of this `hw.type` may grow: where it is divided among processes that of RAPL.
fn most_watts(of: &str) -> f64 {
    match of {
        "cpu" | "memory" => PACKAGE_WATTS,
        _ => ENERGY_WATTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_energy_grows_faster_than_is_divided() {
        for (of, watts) in [("cpu", 2e3), ("memory", 2e3), ("enclosure", 20e3), ("board", 20e3)] {
            assert!((most_watts(of) - watts).abs() < 1.0, "{of}");
        }
    }
}
