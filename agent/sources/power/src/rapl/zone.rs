//! Zones of powercap that are RAPL's (Documentation/power/powercap/powercap.rst, drivers/powercap/intel_rapl_common.c, Linux
//! 6.18).
//!
//! `/sys/class/powercap/intel-rapl:0` is a link to a top zone: a package (`package-0`, `package-0-die-1`) or the whole platform
//! (`psys`, `psys-1`); `intel-rapl:0:1` is a part of it (`core`, `uncore`, `dram`). The same package may be there again as
//! `intel-rapl-mmio:0` or `intel-rapl-tpmi:0`, by the same counter of the hardware.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;

use accelscope_core::host::bounded::open_now;
use accelscope_core::host::{HostRoots, sysfs};

use crate::attribute::{self, Attribute};
use crate::identity::Identity;
use crate::meter::{Meter, Properties};
use crate::now::Now;
use crate::quantity::{MACHINE_WATTS, PACKAGE_WATTS};
use crate::rapl::points::Told;
use crate::reason::{Reason, of_error};

pub(super) const CLASS: &str = "/sys/class/powercap";
/// Most zones that are looked at. A machine with 16 packages of two dies has 128.
const MOST_ZONES: usize = 256;
/// Range in microjoules of a platform counter that has room for a whole server.
const SERVER_RANGE: u64 = 1_000_000_000_000_000;
/// Beginning of the names of RAPL's control types; others (dtpm, SCMI) count no energy of processors.
const CONTROL: &str = "intel-rapl";

/// What is wrong where the counters cannot be read, and what to do.
pub(crate) const DENIED: &str = "no permission to read the energy of the processors (RAPL, energy_uj)";
pub(crate) const DENIED_REMEDY: &str = "run the agent as root or with CAP_DAC_READ_SEARCH: since CVE-2020-8694 the counters \
                                        are root's alone to read (`ls -l /sys/class/powercap/*/energy_uj`)";

/// What a zone counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The platform.
    Psys,
    Package,
    /// Cores, graphics or what else is a part of a package.
    Part,
    /// Memory, which is no part of a package's energy though its zone is below it.
    Dram,
}

/// A zone.
#[derive(Debug)]
pub(crate) struct Zone {
    /// Name in the class.
    listed: String,
    pub(super) kind: Kind,
    /// Name that no other zone has: `package-0`, `package-0/dram`.
    pub(super) name: String,
    /// `name` of the zone that it is below.
    pub(super) above: Option<String>,
    pub(super) hw_id: String,
    energy: Attribute,
    pub(super) meter: Meter,
    /// How the last reading went.
    pub(super) state: Result<(), Reason>,
    /// It counts something else than what it is to contain.
    pub(super) is_refused: bool,
    pub(super) told: Option<Told>,
}

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) zones: Vec<Zone>,
    /// Zones of which the files are hidden, as runtimes do in containers.
    pub(crate) hidden: usize,
    /// Beyond the bound.
    pub(crate) left_out: u64,
}

impl Found {
    /// Names of the zones, without and with the right to read them.
    pub(crate) fn names(&self, readable: bool) -> Vec<&str> {
        let zones = self.zones.iter();
        let wanted = zones.filter(|zone| (zone.state != Err(Reason::NoPermission)) == readable);
        wanted.map(|zone| zone.name.as_str()).collect()
    }
}

impl Zone {
    /// Whether that is the same zone, with the same files.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.listed == other.listed && self.name == other.name && self.above == other.above
    }

    pub(super) fn read(&mut self, now: Now) {
        self.state = match self.energy.number() {
            Ok(Some(raw)) => self.meter.read(raw, now),
            // It has gone, and its name with it.
            Ok(None) => Err(Reason::NoData),
            Err(reason) => Err(reason),
        };
    }
}

/// The names of RAPL's zones, sorted.
pub(super) fn list(roots: &HostRoots) -> Vec<String> {
    // All of the class: idle injection and other control types come before.
    let names = roots.names(CLASS, 16 * MOST_ZONES).unwrap_or_default();
    let is_zone = |name: &String| name.starts_with(CONTROL) && name.contains(':');
    let mut zones: Vec<String> = names.into_iter().filter(is_zone).collect();
    zones.sort();
    zones
}

/// The zones.
pub(crate) fn find(roots: &HostRoots, identity: &Identity) -> Found {
    find_in(roots, identity, &list(roots))
}

pub(super) fn find_in(roots: &HostRoots, identity: &Identity, listed: &[String]) -> Found {
    let is_amd = is_amd(roots);
    let class = roots.path(CLASS);
    let mut found = Found {
        left_out: listed.len().saturating_sub(MOST_ZONES) as u64,
        ..Found::default()
    };
    let listed = &listed[..listed.len().min(MOST_ZONES)];
    let names: BTreeMap<&str, String> = listed
        .iter()
        .filter_map(|zone| Some((zone.as_str(), sysfs::text(&class.join(zone).join("name"))?)))
        .collect();
    found.hidden = listed.iter().filter(|zone| !class.join(zone).exists()).count();
    let mut best: BTreeMap<String, (Rank, Zone)> = BTreeMap::new();
    for (listed, own) in &names {
        let above = listed.rsplit_once(':').and_then(|(above, _)| names.get(above)).cloned();
        let kind = kind(own, above.is_some());
        // It counts the first core alone: MSR_AMD_CORE_ENERGY_STATUS is one of each core (arch/x86/events/rapl.c, Linux 6.14).
        if is_amd && kind == Kind::Part && own == "core" {
            continue;
        }
        let energy = class.join(listed).join("energy_uj");
        let state = match readable(&energy) {
            Ok(()) => Ok(()),
            Err(error) => match of_error(&error) {
                Some(reason) => Err(reason),
                None => continue,
            },
        };
        let name = above
            .as_ref()
            .map_or_else(|| own.clone(), |above| format!("{above}/{own}"));
        let rank = (
            state == Err(Reason::NoPermission),
            driver_rank(listed),
            (*listed).to_owned(),
        );
        let zone = Zone {
            listed: (*listed).to_owned(),
            kind,
            hw_id: identity.hw_id(&format!("rapl/{name}")),
            name: name.clone(),
            above,
            meter: Meter::new(properties(kind, &class.join(listed))),
            energy: Attribute::new(energy),
            state,
            is_refused: false,
            told: None,
        };
        if best.get(&name).is_none_or(|(other, _)| rank < *other) {
            best.insert(name, (rank, zone));
        }
    }
    found.zones = best.into_values().map(|(_, zone)| zone).collect();
    // What contains others comes first.
    found.zones.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

/// Of several drivers of the same counter the lowest is read: whether it is closed, which driver, which zone.
type Rank = (bool, u8, String);

/// By MSR the counters of a processor are complete; newer Xeons have them by TPMI; MMIO has packages only.
fn driver_rank(listed: &str) -> u8 {
    match listed.split(':').next() {
        Some("intel-rapl") => 0,
        Some("intel-rapl-tpmi") => 1,
        Some("intel-rapl-mmio") => 2,
        _ => 3,
    }
}

fn kind(name: &str, is_below: bool) -> Kind {
    match name {
        _ if name.starts_with("psys") => Kind::Psys,
        _ if name.starts_with("dram") => Kind::Dram,
        _ if is_below => Kind::Part,
        _ => Kind::Package,
    }
}

fn properties(kind: Kind, directory: &std::path::Path) -> Properties {
    let range = attribute::once(directory.join("max_energy_range_uj")).ok().flatten();
    let range = range
        .and_then(|range| u64::try_from(range).ok())
        .filter(|range| *range > 0);
    // The platform of a server is counted in joules, that of a notebook in the package's units.
    let is_server = kind == Kind::Psys && range.is_none_or(|range| range >= SERVER_RANGE);
    Properties {
        range,
        watts: if is_server { MACHINE_WATTS } else { PACKAGE_WATTS },
        // Graphics units are switched off, and parts that we do not know may be.
        moves_always: kind != Kind::Part,
    }
}

fn readable(energy: &std::path::Path) -> io::Result<()> {
    // At an offset, at which a FIFO is not read.
    open_now(energy)?.read_at(&mut [0; 32], 0).map(drop)
}

/// Whether the processors are AMD's, or Hygon's, which are the same.
fn is_amd(roots: &HostRoots) -> bool {
    let mut beginning = [0; 512];
    let read = open_now(&roots.proc().join("cpuinfo")).and_then(|mut file| file.read(&mut beginning));
    let text = String::from_utf8_lossy(&beginning[..read.unwrap_or(0)]);
    text.contains("AuthenticAMD") || text.contains("HygonGenuine")
}
