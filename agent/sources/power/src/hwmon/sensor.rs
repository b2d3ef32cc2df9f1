//! One sensor: a channel of a chip, such as `temp1`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use accelscope_core::host::sysfs;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Instrument, Point, Timestamp};

use super::kind::Kind;
use crate::attribute::Attribute;
use crate::identity::Identity;
use crate::key;
use crate::meter::{Meter, Properties};
use crate::now::Now;
use crate::quantity::{MACHINE_WATTS, Quantity};
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

/// Alarms of limits that the hardware protects itself at; `alarm` alone is one of any limit.
const ALARMS: [&str; 4] = ["alarm", "crit_alarm", "emergency_alarm", "max_alarm"];
const STATES: [&str; 3] = ["ok", "degraded", "failed"];

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

    fn measures(self) -> Option<(Quantity, &'static Instrument)> {
        Some(match self {
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
    input: Option<Attribute>,
    fault: Option<Attribute>,
    alarms: Vec<Attribute>,
    limits: Vec<Limit>,
    meter: Meter,
    hw_id: String,
    attributes: Arc<Attributes>,
    states: Vec<Arc<Attributes>>,
    has_value: bool,
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
        let (input, fault) = (average.or_else(|| open("input")), open("fault"));
        let alarms: Vec<Attribute> = ALARMS.into_iter().filter_map(open).collect();
        if input.is_none() && fault.is_none() && alarms.is_empty() {
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
        Some(Self {
            family,
            label: attributes
                .contains("label")
                .then(|| sysfs::text(&path("label")))
                .flatten(),
            input,
            fault,
            alarms,
            limits: limits.filter_map(limit).collect(),
            meter: Meter::new(Properties {
                range: None,
                watts: MACHINE_WATTS,
                // Rails may be off.
                moves_always: false,
            }),
            hw_id: String::new(),
            attributes: Arc::new(Attributes::empty()),
            states: Vec::new(),
            has_value: false,
            channel,
        })
    }

    /// Whether that is the same channel, with the same files.
    pub(super) fn is(&self, other: &Self) -> bool {
        let paths = |sensor: &Self| {
            let files = sensor.input.iter().chain(&sensor.fault).chain(&sensor.alarms);
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

    /// Whether its last reading was a power.
    pub(super) fn tells_power(&self) -> bool {
        self.family == Family::Power && self.has_value
    }

    /// Makes the attributes of its points.
    pub(super) fn identify(&mut self, place: &str, identity: &Identity, kind: &Kind) {
        let hw_id = identity.hw_id(&format!("{place}/{}", self.channel));
        if hw_id == self.hw_id {
            return;
        }
        self.hw_id = hw_id;
        let of = match self.family {
            Family::Current | Family::Power | Family::Energy => kind.of,
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

    /// Marks a power as part of that of the whole machine, by the `hw.id` of its meter. Returns the attributes before and
    /// after, if they are others now.
    pub(super) fn set_parent(&mut self, meter: Option<&str>) -> Option<[Arc<Attributes>; 2]> {
        let parent = meter.filter(|meter| self.family == Family::Power && *meter != self.hw_id);
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
        self.has_value = false;
        // A channel with a fault has a value that means nothing.
        if is_faulty != Some(true)
            && let Some(raw) = self.input.as_mut().and_then(|input| counted(input.number()))
        {
            match self.value(raw) {
                Ok(point) => points.extend(point),
                Err(reason) => skipped.add(reason),
            }
            self.has_value = points
                .last()
                .is_some_and(|point| Arc::ptr_eq(&point.attributes, &self.attributes));
        }
        for limit in &self.limits {
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
        let alarms: Vec<bool> = self.alarms.iter_mut().filter_map(is_set).collect();
        let state = match is_faulty {
            Some(true) => 2,
            _ if alarms.contains(&true) => 1,
            None if alarms.is_empty() => return,
            _ => 0,
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

    fn value(&mut self, raw: i128) -> Result<Option<Point>, Reason> {
        let now = Now::read();
        let Some((quantity, instrument)) = self.family.measures() else {
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
