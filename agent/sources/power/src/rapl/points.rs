//! Points of the zones, marked by which zone contains which.

use std::sync::Arc;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Point};

use super::zone::{Kind, Zone};
use crate::key;
use crate::now::Now;

/// Attributes of a zone's points, and of which parents they are.
#[derive(Debug)]
pub(super) struct Told {
    parents: [Option<Arc<str>>; 2],
    energy: Arc<Attributes>,
    power: Arc<Attributes>,
}

/// `meter` is the `hw.id` of a meter of the power of the whole machine.
pub(super) fn points(zones: &mut [Zone], now: Now, meter: Option<&str>) -> Vec<Point> {
    let mut points = Vec::with_capacity(2 * zones.len());
    let parents: Vec<Option<Arc<str>>> = zones.iter().map(|zone| parent(zone, zones)).collect();
    let meter: Option<Arc<str>> = meter.map(Into::into);
    for (zone, parent) in zones.iter_mut().zip(parents) {
        if zone.state.is_err() {
            continue;
        }
        let Some((count, watts)) = zone.meter.tell() else {
            continue;
        };
        let parents = [parent.clone(), parent.or_else(|| meter.clone())];
        if zone.told.as_ref().is_none_or(|told| told.parents != parents) {
            zone.told = Some(told(zone, parents));
        }
        let Some(told) = &zone.told else { continue };
        let mut energy = Point::new(&hw::ENERGY, told.energy.clone(), count.joules, now.wall);
        energy.start = Some(count.start);
        points.push(energy);
        points.extend(watts.map(|watts| Point::new(&hw::POWER, told.power.clone(), watts, now.wall)));
    }
    points
}

fn told(zone: &Zone, parents: [Option<Arc<str>>; 2]) -> Told {
    let kind = match zone.kind {
        Kind::Psys => "enclosure",
        Kind::Package | Kind::Part => "cpu",
        Kind::Dram => "memory",
    };
    let attributes = |parent: &Option<Arc<str>>, is_derived: bool| {
        let common = [
            (key::HW_ID, zone.hw_id.as_str().into()),
            (key::HW_NAME, zone.name.as_str().into()),
            (key::HW_TYPE, kind.into()),
        ];
        let parent = parent.clone().map(|parent| (key::HW_PARENT, parent.into()));
        let derived = is_derived.then(|| (key::ACCEL_DERIVED, true.into()));
        Arc::new(Attributes::new(common.into_iter().chain(parent).chain(derived)))
    };
    Told {
        energy: attributes(&parents[0], false),
        power: attributes(&parents[1], true),
        parents,
    }
}

/// `hw.id` of the nearest zone that contains the energy of this one and has a count of its own.
fn parent(zone: &Zone, zones: &[Zone]) -> Option<Arc<str>> {
    let is_told = |other: &&Zone| other.state.is_ok() && other.meter.is_counting();
    let package = || {
        let name = zone.above.as_ref().filter(|_| zone.kind == Kind::Part)?;
        zones.iter().filter(is_told).find(|other| other.name == *name)
    };
    let platform = || {
        if zone.kind == Kind::Psys {
            return None;
        }
        let mut all = zones.iter().filter(|other| other.kind == Kind::Psys);
        if all.clone().count() > 1 {
            // One of each package: `psys` of the first, `psys-1` of the second.
            let number = number(zone.above.as_ref().unwrap_or(&zone.name));
            return all.filter(is_told).find(|psys| self::number(&psys.name) == number);
        }
        all.find(is_told)
    };
    package().or_else(platform).map(|zone| zone.hw_id.as_str().into())
}

/// The number of a package in `package-1`, `package-1-die-0`, `psys-1` and `psys`.
fn number(name: &str) -> u32 {
    let number = name.split('-').nth(1);
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
