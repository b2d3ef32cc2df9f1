//! Thermal zones (Documentation/ABI/testing/sysfs-class-thermal, Linux 6.18).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Point, Timestamp};

use crate::attribute::{self, Attribute};
use crate::identity::Identity;
use crate::key;
use crate::now::Now;
use crate::numbers::Seat;
use crate::quantity::Quantity;
use crate::reason::{Reason, Skipped};
use crate::sensors::{Pass, Places};

pub(crate) const CLASS: &str = "/sys/class/thermal";
/// Most zones, and most trip points of one.
const MOST_ZONES: usize = 128;
const MOST_TRIPS: u32 = 32;
/// Time after which trip points are read again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Zones that are no sensor: their temperature is always 20 (drivers/thermal/intel/int340x_thermal/int3400_thermal.c).
const NO_SENSORS: &[&str] = &["INT3400 Thermal"];

/// The zones of this machine.
#[derive(Debug)]
pub(crate) struct Thermal {
    roots: HostRoots,
    identity: Identity,
    places: Places,
    listed: Vec<String>,
    zones: Vec<Zone>,
    looked: Option<Now>,
}

#[derive(Debug)]
struct Zone {
    path: PathBuf,
    kind: String,
    temperature: Attribute,
    attributes: Arc<Attributes>,
    trips: Vec<(Arc<Attributes>, f64, Timestamp)>,
}

impl Thermal {
    pub(crate) fn new(roots: HostRoots, identity: Identity, places: Places) -> Self {
        Self {
            roots,
            identity,
            places,
            listed: Vec::new(),
            zones: Vec::new(),
            looked: None,
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        !self.zones.is_empty()
    }

    /// Reads all zones.
    pub(crate) fn read(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) -> Vec<Point> {
        self.look(pass, skipped);
        let mut points = Vec::new();
        for zone in &mut self.zones {
            if !pass.enter(&zone.path) {
                continue;
            }
            let raw = zone.temperature.number();
            let value = raw.and_then(|raw| raw.map(|raw| Quantity::Temperature.value(raw)).transpose());
            match value {
                Ok(Some(value)) => {
                    points.push(Point::new(
                        &hw::TEMPERATURE,
                        zone.attributes.clone(),
                        value,
                        Timestamp::now(),
                    ));
                }
                // A limit says nothing without what it is of.
                Ok(None) => continue,
                Err(reason) => {
                    skipped.add(reason);
                    continue;
                }
            }
            let trips = zone.trips.iter();
            points.extend(trips.map(|(attributes, limit, time)| {
                Point::new(&hw::TEMPERATURE_LIMIT, attributes.clone(), *limit, *time)
            }));
        }
        points
    }

    fn look(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) {
        let now = Now::read();
        let mut listed = list(&self.roots);
        let left_out = listed.len().saturating_sub(MOST_ZONES) as u64;
        listed.truncate(MOST_ZONES);
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK_AGAIN);
        if listed == self.listed && !is_due {
            return;
        }
        let class = self.roots.path(CLASS);
        let mut zones = Vec::new();
        let paths: Vec<PathBuf> = listed.iter().map(|name| class.join(name)).collect();
        self.places.keep(&class, &paths);
        let found = self.find(pass, paths);
        // Zones of one type are told apart by numbers: those of their names move with what else is registered at a boot.
        let mut numbers = BTreeMap::<PathBuf, u32>::new();
        let kinds: BTreeSet<&str> = found.iter().map(|(_, kind, _)| kind.as_str()).collect();
        for kind in kinds {
            let seats = found.iter().filter(|(_, of, _)| of == kind).map(|(path, ..)| Seat {
                device: path.clone(),
                path: path.clone(),
            });
            let seats: Vec<Seat> = seats.collect();
            let given = self.places.numbers(&format!("thermal/{kind}"), &seats);
            numbers.extend(seats.into_iter().map(|seat| seat.path).zip(given));
        }
        for (path, kind, is_read) in found {
            if !is_read || !pass.enter(&path) {
                continue;
            }
            let number = numbers.get(&path).copied().unwrap_or_default();
            let hw_id = self.identity.hw_id(&format!("thermal/{kind}/{number}"));
            let known = self
                .zones
                .iter()
                .position(|zone| zone.path == path && zone.kind == kind);
            let temperature = known.map_or_else(
                || Attribute::new(path.join("temp")),
                |known| self.zones.swap_remove(known).temperature,
            );
            let attributes = Attributes::new([
                (key::HW_ID, hw_id.into()),
                (key::HW_NAME, kind.as_str().into()),
                (key::HW_SENSOR_LOCATION, kind.as_str().into()),
            ]);
            zones.push(Zone {
                trips: trips(&path, &attributes),
                path,
                kind,
                temperature,
                attributes: Arc::new(attributes),
            });
        }
        if !zones.is_empty() {
            skipped.begin();
        }
        skipped.add_all(left_out, Reason::TooMany);
        (self.zones, self.listed, self.looked) = (zones, listed, Some(now));
    }

    /// The sensors among these: path, type, and whether it is read now.
    fn find(&self, pass: &Pass<'_>, paths: Vec<PathBuf>) -> Vec<(PathBuf, String, bool)> {
        let find = |path: PathBuf| {
            let is_read = pass.enter(&path);
            let kind = if is_read {
                sysfs::text(&path.join("type"))
            } else {
                self.places.of(&path).map(|(kind, _)| kind)
            };
            let kind = kind.filter(|kind| !NO_SENSORS.contains(&kind.as_str()))?;
            if is_read {
                self.places.note(&path, (kind.clone(), PathBuf::new()));
            }
            Some((path, kind, is_read))
        };
        paths.into_iter().filter_map(find).collect()
    }
}

/// The lowest limit of each kind. Those at which a fan runs faster (`active`) are none.
fn trips(path: &Path, of: &Attributes) -> Vec<(Arc<Attributes>, f64, Timestamp)> {
    let mut lowest = BTreeMap::<&str, f64>::new();
    for number in 0..MOST_TRIPS {
        let Some(kind) = sysfs::text(&path.join(format!("trip_point_{number}_type"))) else {
            break;
        };
        let limit = match kind.as_str() {
            "critical" => "high.critical",
            "hot" => "high.degraded",
            "passive" => "throttled",
            _ => continue,
        };
        let raw = attribute::once(path.join(format!("trip_point_{number}_temp")))
            .ok()
            .flatten();
        let set = raw.filter(|raw| *raw > 0);
        if let Some(value) = set.and_then(|raw| Quantity::Temperature.value(raw).ok()) {
            let lowest = lowest.entry(limit).or_insert(value);
            *lowest = lowest.min(value);
        }
    }
    let time = Timestamp::now();
    let limit = |(kind, value): (&str, f64)| (Arc::new(of.with([(key::HW_LIMIT_TYPE, kind.into())])), value, time);
    lowest.into_iter().map(limit).collect()
}

/// Names of the zones, in the order of their numbers.
pub(crate) fn list(roots: &HostRoots) -> Vec<String> {
    let names = roots.names(CLASS, 16 * MOST_ZONES).unwrap_or_default();
    let mut zones: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with("thermal_zone"))
        .collect();
    zones.sort_by_key(|name| (name.len(), name.clone()));
    zones
}
