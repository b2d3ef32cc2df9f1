//! Batteries, uninterruptible supplies and mains (Documentation/ABI/testing/sysfs-class-power, Linux 6.18).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Instrument, Point, Timestamp};

use crate::attribute::{self, Attribute};
use crate::catalogue::{BATTERY_CHARGE, BATTERY_TIME_LEFT};
use crate::identity::{Identity, stable};
use crate::key;
use crate::now::Now;
use crate::quantity::Quantity;
use crate::reason::{Reason, Skipped};
use crate::sensors::{Pass, inode};

pub(crate) const CLASS: &str = "/sys/class/power_supply";
const MOST_SUPPLIES: usize = 64;
/// Time after which the files of a supply are looked through again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const STATES: [&str; 5] = ["ok", "degraded", "failed", "charging", "discharging"];

/// The supplies of this machine.
#[derive(Debug)]
pub(crate) struct Supplies {
    roots: HostRoots,
    identity: Identity,
    listed: Vec<String>,
    places: Vec<Place>,
    looked: Option<Now>,
}

/// A directory in the class.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Another device has another one, even under the same name.
    inode: u64,
    /// None if it is none of the node's.
    supply: Option<Supply>,
    /// Whether it was read, and what `present` was then.
    was_read: bool,
    present: Option<i128>,
}

/// What a supply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Battery,
    Mains,
}

#[derive(Debug)]
struct Supply {
    kind: Kind,
    files: Vec<(&'static str, Attribute)>,
    common: Attributes,
    plain: Arc<Attributes>,
    typed: Arc<Attributes>,
    battery: Arc<Attributes>,
    states: Vec<Arc<Attributes>>,
}

/// Files that are read each time; the driver has some of them.
const OF_BATTERY: &[&str] = &[
    "present",
    "status",
    "health",
    "capacity",
    "energy_now",
    "energy_full",
    "charge_now",
    "charge_full",
    "voltage_now",
    "current_now",
    "power_now",
    "time_to_empty_now",
    "time_to_full_now",
];
const OF_MAINS: &[&str] = &["online", "voltage_now", "current_now", "power_now"];

impl Supplies {
    pub(crate) fn new(roots: HostRoots, identity: Identity) -> Self {
        Self {
            roots,
            identity,
            listed: Vec::new(),
            places: Vec::new(),
            looked: None,
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.places.iter().any(|place| place.supply.is_some())
    }

    /// Reads all supplies.
    pub(crate) fn read(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) -> Vec<Point> {
        self.look(pass, skipped);
        let mut points = Vec::new();
        for place in &mut self.places {
            let Some(supply) = &mut place.supply else { continue };
            if !pass.enter(&place.path) {
                continue;
            }
            let present = supply.number("present", skipped);
            if place.was_read && place.present != present {
                // What is in the bay now is another one, with files of its own.
                place.supply = Supply::open(&place.path, &self.identity);
            }
            (place.present, place.was_read) = (present, true);
            // An empty bay has nothing.
            if let Some(supply) = place.supply.as_mut().filter(|_| present != Some(0)) {
                supply.read(&mut points, skipped);
            }
        }
        points
    }

    /// Opens those that are new, and once a minute all: a driver may go on with another battery.
    fn look(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) {
        let now = Now::read();
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK_AGAIN);
        let class = self.roots.path(CLASS);
        let listed = list(&self.roots);
        let (read, left) = listed.split_at(listed.len().min(MOST_SUPPLIES));
        let mut before = std::mem::take(&mut self.places);
        for name in read {
            let path = class.join(name);
            if !pass.enter(&path) {
                continue;
            }
            let Some(inode) = inode(&path) else { continue };
            let known = before
                .iter()
                .position(|place| place.path == path && place.inode == inode);
            let known = known.map(|known| before.swap_remove(known));
            self.places.push(match known {
                Some(known) if !is_due => known,
                known => Place {
                    inode,
                    supply: Supply::open(&path, &self.identity),
                    was_read: known.as_ref().is_some_and(|known| known.was_read),
                    present: known.and_then(|known| known.present),
                    path,
                },
            });
        }
        if self.is_there() {
            skipped.begin();
        }
        if is_due || listed != self.listed {
            skipped.add_all(left.len() as u64, Reason::TooMany);
            self.looked = Some(now);
        }
        self.listed = listed;
    }
}

/// Names of all supplies, sorted.
pub(crate) fn list(roots: &HostRoots) -> Vec<String> {
    let mut names = roots.names(CLASS, 16 * MOST_SUPPLIES).unwrap_or_default();
    names.sort();
    names
}

/// Whether it is one of the node's, and which kind: batteries of mice and ports of USB are none.
fn kind(path: &Path) -> Option<Kind> {
    if sysfs::text(&path.join("scope")).as_deref() == Some("Device") {
        return None;
    }
    match sysfs::text(&path.join("type"))?.as_str() {
        "Battery" | "UPS" => Some(Kind::Battery),
        "Mains" => Some(Kind::Mains),
        _ => None,
    }
}

/// How many of the node's there are.
pub(crate) fn count(roots: &HostRoots) -> usize {
    let class = roots.path(CLASS);
    let names = list(roots);
    let supplies = names.iter().take(MOST_SUPPLIES);
    supplies.filter(|name| kind(&class.join(name)).is_some()).count()
}

impl Supply {
    fn open(path: &Path, identity: &Identity) -> Option<Self> {
        let kind = kind(path)?;
        let name = path.file_name()?.to_string_lossy().into_owned();
        let text = |file: &str| sysfs::text(&path.join(file));
        let place = std::fs::canonicalize(path).map_or_else(|_| name.clone(), |path| stable(&path));
        // The serial number goes with the battery to another machine.
        let serial = text("serial_number").unwrap_or_default();
        let hw_id = identity.hw_id(&format!("supply/{place}/{serial}"));
        let common = Attributes::new([(key::HW_ID, hw_id.into()), (key::HW_NAME, name.into())]);
        let (of, files, states) = match kind {
            Kind::Battery => ("battery", OF_BATTERY, &STATES[..]),
            Kind::Mains => ("power_supply", OF_MAINS, &STATES[..3]),
        };
        let typed = common.with([(key::HW_TYPE, of.into())]);
        let described = [
            (key::HW_MODEL, text("model_name")),
            (key::HW_VENDOR, text("manufacturer")),
            (
                key::HW_BATTERY_CHEMISTRY,
                text("technology").filter(|text| text != "Unknown"),
            ),
            (key::HW_BATTERY_CAPACITY, capacity(path)),
        ];
        let described = described
            .into_iter()
            .filter_map(|(key, text)| Some((key, text?.into())));
        let existing = files.iter().filter(|file| path.join(file).exists());
        Some(Self {
            kind,
            files: existing.map(|file| (*file, Attribute::new(path.join(file)))).collect(),
            battery: Arc::new(common.with(described)),
            states: states
                .iter()
                .map(|state| Arc::new(typed.with([(key::HW_STATE, (*state).into())])))
                .collect(),
            plain: Arc::new(common.clone()),
            typed: Arc::new(typed),
            common,
        })
    }

    fn file(&mut self, name: &str) -> Option<&mut Attribute> {
        self.files
            .iter_mut()
            .find(|(file, _)| *file == name)
            .map(|(_, file)| file)
    }

    fn number(&mut self, name: &str, skipped: &Skipped) -> Option<i128> {
        self.file(name)?.number().unwrap_or_else(|reason| {
            skipped.add(reason);
            None
        })
    }

    fn word(&mut self, name: &str, skipped: &Skipped) -> Option<String> {
        self.file(name)?.word().unwrap_or_else(|reason| {
            skipped.add(reason);
            None
        })
    }

    fn read(&mut self, points: &mut Vec<Point>, skipped: &Skipped) {
        let time = Timestamp::now();
        let power = match self.kind {
            Kind::Battery => Quantity::BatteryPower,
            Kind::Mains => Quantity::Power,
        };
        let sizes: [(&str, Quantity, &'static Instrument, i128); 3] = [
            ("voltage_now", Quantity::Voltage, &hw::VOLTAGE, 1000),
            ("current_now", Quantity::Current, &hw::CURRENT, 1000),
            ("power_now", power, &hw::POWER, 1),
        ];
        for (file, quantity, instrument, micro) in sizes {
            let Some(raw) = self.number(file, skipped) else {
                continue;
            };
            let attributes = if *instrument == hw::POWER {
                &self.typed
            } else {
                &self.plain
            };
            match value(quantity, raw, micro) {
                Ok(value) => points.push(Point::new(instrument, attributes.clone(), value, time)),
                Err(reason) => skipped.add(reason),
            }
        }
        match self.kind {
            Kind::Battery => self.read_battery(points, skipped, time),
            Kind::Mains => {
                let is_online = self.number("online", skipped);
                let is_online = is_online.map(|online| online != 0);
                self.state(
                    points,
                    time,
                    is_online.map(|online| if online { "ok" } else { "failed" }),
                    None,
                );
            }
        }
    }

    fn read_battery(&mut self, points: &mut Vec<Point>, skipped: &Skipped, time: Timestamp) {
        match self.charge(skipped) {
            Some(Ok(charge)) => points.push(Point::new(&BATTERY_CHARGE, self.battery.clone(), charge, time)),
            Some(Err(reason)) => skipped.add(reason),
            None => {}
        }
        let status = self.word("status", skipped);
        let status = match status.as_deref() {
            Some("Charging") => Some("charging"),
            Some("Discharging") => Some("discharging"),
            // Full, Not charging: neither.
            Some("Full" | "Not charging") => Some(""),
            _ => None,
        };
        let health = self.word("health", skipped);
        let health = match health.as_deref() {
            Some("Good") => Some("ok"),
            Some("Dead" | "Unspecified failure" | "No battery") => Some("failed"),
            None | Some("Unknown") => None,
            Some(_) => Some("degraded"),
        };
        self.state(points, time, health, status);
        for (state, file) in [("discharging", "time_to_empty_now"), ("charging", "time_to_full_now")] {
            if status == Some(state)
                && let Some(seconds) = self.number(file, skipped)
            {
                // Gauges of 16 bits report all ones of minutes where they do not know.
                if (1..0xffff * 60).contains(&seconds) {
                    let attributes = self.common.with([(key::HW_STATE, state.into())]);
                    points.push(Point::new(&BATTERY_TIME_LEFT, attributes, seconds as f64, time));
                } else {
                    skipped.add(Reason::Sentinel);
                }
            }
        }
    }

    /// Share of what it can hold, by the first files that say it, or why the first do not.
    fn charge(&mut self, skipped: &Skipped) -> Option<Result<f64, Reason>> {
        let share = |share: f64| {
            if (0.0..=1.0).contains(&share) {
                Ok(share)
            } else {
                Err(Reason::BeyondPhysics)
            }
        };
        let percent = self.number("capacity", skipped);
        let percent = percent.map(|percent| share(percent as f64 / 100.0));
        if let Some(Ok(charge)) = percent {
            return Some(Ok(charge));
        }
        let pairs = [("energy_now", "energy_full"), ("charge_now", "charge_full")].into_iter();
        let shares = pairs.filter_map(|(now, full)| {
            let (now, full) = (self.number(now, skipped)?, self.number(full, skipped)?);
            // A new battery holds a little more than it was made for.
            (full > 0 && now <= full.saturating_mul(11) / 10).then(|| share((now as f64 / full as f64).min(1.0)))
        });
        percent.into_iter().chain(shares).reduce(Result::or)
    }

    /// Adds 1 for the true states and 0 for the others, of each of health and charging that is known.
    fn state(&self, points: &mut Vec<Point>, time: Timestamp, health: Option<&str>, status: Option<&str>) {
        for (nth, (attributes, name)) in self.states.iter().zip(STATES).enumerate() {
            let known = if nth < 3 { health } else { status };
            if let Some(known) = known {
                points.push(Point::new(
                    &hw::STATUS,
                    attributes.clone(),
                    i64::from(known == name),
                    time,
                ));
            }
        }
    }
}

/// A value of this class, in millionths of the base unit, where [`Quantity`] takes `micro` times as much.
fn value(quantity: Quantity, raw: i128, micro: i128) -> Result<f64, Reason> {
    if quantity.is_sentinel(raw) {
        return Err(Reason::Sentinel);
    }
    quantity.value(raw / micro).map(|_| raw as f64 / 1e6)
}

/// What it was made to hold, in the form of the semantic conventions.
fn capacity(path: &Path) -> Option<String> {
    let design = |file: &str, unit: &str| {
        let micro = attribute::once(path.join(file)).ok().flatten()?;
        // Microwatt-hours and microampere-hours; gauges that do not know it report 0 or all ones.
        let micro = Some(micro).filter(|micro| *micro > 0 && !Quantity::Power.is_sentinel(*micro))?;
        Some(format!("{:.1}{unit}", micro as f64 / 1e6))
    };
    design("energy_full_design", "Wh").or_else(|| design("charge_full_design", "Ah"))
}
