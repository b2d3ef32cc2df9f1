//! Zones of powercap that are RAPL's (Documentation/power/powercap/powercap.rst, drivers/powercap/intel_rapl_common.c, Linux
//! 6.18).
//!
//! `/sys/class/powercap/intel-rapl:0` is a link to a top zone: a package (`package-0`, `package-0-die-1`) or the whole platform
//! (`psys`, `psys-1`); `intel-rapl:0:1` is a part of it (`core`, `uncore`, `dram`). The same package may be there again as
//! `intel-rapl-mmio:0` or `intel-rapl-tpmi:0`, by the same counter of the hardware.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use accelscope_core::host::bounded::open_now;
use accelscope_core::host::{HostRoots, sysfs};

use crate::attribute::{self, Attribute};
use crate::identity::Identity;
use crate::meter::{Meter, Properties};
use crate::now::Now;
use crate::quantity::{ENERGY_WATTS, PACKAGE_WATTS};
use crate::rapl::points::Told;
use crate::reason::Reason;

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
    pub(super) kind: Kind,
    /// Name that no other zone has: `package-0`, `package-0/dram`.
    pub(super) name: String,
    /// `name` of the zone that it is below.
    pub(super) above: Option<String>,
    pub(super) hw_id: String,
    /// The drivers' files of it, the best first, and which of them is read.
    counters: Vec<Counter>,
    at: usize,
    /// How the last reading went.
    pub(super) state: Result<(), Reason>,
    /// It counts something else than what it is to contain.
    pub(super) is_refused: bool,
    pub(super) told: Option<Told>,
}

/// The file of one driver.
#[derive(Debug)]
struct Counter {
    /// Name in the class.
    listed: String,
    energy: Attribute,
    meter: Meter,
    /// What it was when the zones were looked for.
    found: Result<u64, Reason>,
}

impl Counter {
    fn new(directory: &Path, listed: &str, kind: Kind) -> Option<Self> {
        let energy = directory.join("energy_uj");
        let meter = Meter::new(properties(kind, directory));
        let found = match attribute::once(energy.clone()) {
            Ok(raw) => meter.value(raw?),
            Err(reason) => Err(reason),
        };
        Some(Self {
            listed: listed.to_owned(),
            energy: Attribute::new(energy),
            meter,
            found,
        })
    }

    /// Of several the one that is lowest is read: whether it has no value, which driver, which zone.
    fn rank(&self) -> (bool, u8, &str) {
        (self.found.is_err(), driver_rank(&self.listed), &self.listed)
    }

    fn read(&mut self, now: Now) -> Result<(), Reason> {
        // Without a file it has gone, and its name with it.
        match self.energy.number().and_then(|raw| raw.ok_or(Reason::NoData)) {
            Ok(raw) => self.meter.read(raw, now),
            Err(reason) => {
                self.meter.miss(now);
                Err(reason)
            }
        }
    }
}

/// What `agent doctor` says of the files of one zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition<'a> {
    Read,
    /// Why it has no value, and the driver's zone whose file that is.
    Unread(&'a str, Reason),
    /// The same, and the zone of another driver that is read instead.
    Instead(&'a str, Reason, &'a str),
    /// It has been 0 since the boot.
    Zero,
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

impl Zone {
    /// Name, and how it was found.
    pub(crate) fn condition(&self) -> (&str, Condition<'_>) {
        let best = &self.counters[0];
        let preferred = self.counters.iter().min_by_key(|counter| driver_rank(&counter.listed));
        let failed = preferred.and_then(|counter| Some((counter.listed.as_str(), counter.found.err()?)));
        let condition = match (best.found, failed) {
            (Err(reason), _) => Condition::Unread(&best.listed, reason),
            // Graphics that were never used, too.
            (Ok(0), _) if self.kind != Kind::Part => Condition::Zero,
            (Ok(_), Some((listed, reason))) => Condition::Instead(listed, reason, &best.listed),
            (Ok(_), None) => Condition::Read,
        };
        (&self.name, condition)
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.counters[self.at].meter
    }

    pub(super) fn meter_mut(&mut self) -> &mut Meter {
        &mut self.counters[self.at].meter
    }

    /// Whether that is the same zone.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.name == other.name && self.above == other.above
    }

    /// Goes on with what was read before, if its file is still there.
    pub(super) fn go_on(&mut self, mut before: Self) {
        let file = &before.counters[before.at].listed;
        let Some(at) = self.counters.iter().position(|counter| counter.listed == *file) else {
            return;
        };
        self.counters[at] = before.counters.swap_remove(before.at);
        self.at = at;
        (self.state, self.is_refused, self.told) = (before.state, before.is_refused, before.told);
    }

    /// Reads it, by another driver where the one before has no count any more: the counter of the hardware is the same.
    pub(super) fn read(&mut self, now: Now) {
        self.state = self.counters[self.at].read(now);
        if !self.meter().is_lost() {
            return;
        }
        for nth in (0..self.counters.len()).filter(|nth| *nth != self.at) {
            if self.counters[nth].read(now).is_ok() {
                (self.at, self.state) = (nth, Ok(()));
                return;
            }
        }
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
    let mut zones: BTreeMap<String, Zone> = BTreeMap::new();
    for (listed, own) in &names {
        let above = listed.rsplit_once(':').and_then(|(above, _)| names.get(above)).cloned();
        let kind = kind(own, above.is_some());
        // It counts the first core alone: MSR_AMD_CORE_ENERGY_STATUS is one of each core (arch/x86/events/rapl.c, Linux 6.14).
        if is_amd && kind == Kind::Part && own == "core" {
            continue;
        }
        let Some(counter) = Counter::new(&class.join(listed), listed, kind) else {
            continue;
        };
        let name = above
            .as_ref()
            .map_or_else(|| own.clone(), |above| format!("{above}/{own}"));
        let zone = zones.entry(name.clone()).or_insert_with(|| Zone {
            kind,
            hw_id: identity.hw_id(&format!("rapl/{name}")),
            name,
            above,
            counters: Vec::new(),
            at: 0,
            state: Ok(()),
            is_refused: false,
            told: None,
        });
        zone.counters.push(counter);
    }
    found.zones = zones.into_values().collect();
    for zone in &mut found.zones {
        zone.counters.sort_by(|a, b| a.rank().cmp(&b.rank()));
        zone.state = zone.counters[0].found.map(drop);
    }
    // What contains others comes first.
    found.zones.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    found
}

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

fn properties(kind: Kind, directory: &Path) -> Properties {
    let range = attribute::once(directory.join("max_energy_range_uj")).ok().flatten();
    let range = range
        .and_then(|range| u64::try_from(range).ok())
        .filter(|range| *range > 0);
    // The platform of a server is counted in joules, that of a notebook in the package's units.
    let is_server = kind == Kind::Psys && range.is_none_or(|range| range >= SERVER_RANGE);
    Properties {
        range,
        watts: if is_server { ENERGY_WATTS } else { PACKAGE_WATTS },
        // Graphics units are switched off, and parts that we do not know may be.
        moves_always: kind != Kind::Part,
    }
}

/// Whether the processors are AMD's, or Hygon's, which are the same.
fn is_amd(roots: &HostRoots) -> bool {
    let mut beginning = [0; 512];
    let read = open_now(&roots.proc().join("cpuinfo")).and_then(|mut file| file.read(&mut beginning));
    let text = String::from_utf8_lossy(&beginning[..read.unwrap_or(0)]);
    text.contains("AuthenticAMD") || text.contains("HygonGenuine")
}
