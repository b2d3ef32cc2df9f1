//! Points of the zones, marked by which zone contains which.

use std::sync::Arc;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Point};

use super::zone::{Kind, Zone};
use crate::key;
use crate::meter::Count;
use crate::now::Now;
use crate::reason::Reason;

/// Joules from which on counts of a platform and its packages are compared, and the share that the platform's has at least:
/// the counters are of different grain and not read at the same moment.
const COMPARABLE: f64 = 100.0;
const LEAST_SHARE: f64 = 0.9;

/// Attributes of a zone's points, and of which parents they are.
#[derive(Debug)]
pub(super) struct Told {
    parents: [Option<Arc<str>>; 2],
    energy: Arc<Attributes>,
    power: Arc<Attributes>,
}

/// Takes platforms that have counted less than their packages for ones that count something else, from then on: what `psys`
/// contains is up to the board, and some are not wired. Returns how many readings that costs.
pub(super) fn refuse_platforms(zones: &mut [Zone]) -> u64 {
    let counts_less = |platform: &Zone| {
        // The count of a missed reading is an old one.
        let is_read = platform.kind == Kind::Psys && platform.state.is_ok();
        let Some(all) = platform.meter().count().filter(|_| is_read) else {
            return false;
        };
        let parts = zones
            .iter()
            .filter(|zone| zone.kind == Kind::Package && zone.state.is_ok());
        let parts = parts.filter(|zone| parent(zone, zones).as_deref() == Some(platform.hw_id.as_str()));
        let counts: Vec<Count> = parts.filter_map(|zone| zone.meter().count()).collect();
        let sum: f64 = counts.iter().map(|count| count.joules).sum();
        // Counts of another time cannot be compared.
        let is_comparable = sum > COMPARABLE && counts.iter().all(|count| count.start == all.start);
        is_comparable && all.joules < LEAST_SHARE * sum
    };
    let counts_less: Vec<bool> = zones.iter().map(counts_less).collect();
    let mut number = 0;
    for (zone, counts_less) in zones.iter_mut().zip(counts_less) {
        zone.is_refused |= counts_less;
        if zone.is_refused && zone.state.is_ok() {
            zone.state = Err(Reason::BeyondPhysics);
            number += 1;
        }
    }
    number
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
        let Some((count, watts)) = zone.meter_mut().tell() else {
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

/// `hw.id` of the nearest zone that contains the energy of this one and has a count of its own. A reading of it that failed
/// changes nothing: its count goes on with the next one, and holds this zone's energy then. Where that lasts it has none.
fn parent(zone: &Zone, zones: &[Zone]) -> Option<Arc<str>> {
    let is_denied = |other: &Zone| other.is_refused || other.state == Err(Reason::NoPermission);
    let is_told = |other: &&Zone| other.meter().is_counting() && !is_denied(other);
    let package = || {
        let name = zone.above.as_ref().filter(|_| zone.kind == Kind::Part)?;
        zones.iter().filter(is_told).find(|other| other.name == *name)
    };
    let platform = || {
        if zone.kind == Kind::Psys {
            return None;
        }
        let mut all = zones.iter().filter(|other| other.kind == Kind::Psys).filter(is_told);
        if all.clone().count() > 1 {
            // One of each package: `psys` of the first, `psys-1` of the second. Where one alone counts it is of all.
            let number = number(zone.above.as_ref().unwrap_or(&zone.name));
            return all.find(|psys| self::number(&psys.name) == number);
        }
        all.next()
    };
    package().or_else(platform).map(|zone| zone.hw_id.as_str().into())
}

/// The number of a package in `package-1`, `package-1-die-0`, `psys-1` and `psys`.
fn number(name: &str) -> u32 {
    let number = name.split('-').nth(1);
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
