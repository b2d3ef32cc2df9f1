//! How many CPUs and cores there are.
//!
//! CPUs are those of `/sys/devices/system/cpu/online`. A core is a set of CPUs that are each other's siblings (`core_cpus_list`,
//! before Linux 5.3 `thread_siblings_list`): core ids are unique within a package, or a die of it, only
//! (Documentation/admin-guide/cputopology.rst). Where sysfs has no topology `/proc/cpuinfo` may have.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalogue::{CPU_LOGICAL_COUNT, CPU_PHYSICAL_COUNT};
use crate::kept::Kept;
use crate::parse::whole;
use crate::readings::{Readings, Reason};
use accelscope_core::host::bounded::read_bounded;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::{Attributes, Timestamp};

/// Most CPUs; Linux can be built for 8192 (`NR_CPUS_RANGE_END`, arch/x86/Kconfig).
const MAX_CPUS: u64 = 8192;
/// Limit in bytes of `/proc/cpuinfo`, which has some 1.5 KiB for each CPU.
const MAX_CPUINFO: usize = 16 << 20;
/// Bytes of an attribute of sysfs, at most.
const PAGE: usize = 4096;

/// The counts, as long as the same CPUs are online.
#[derive(Debug)]
pub(crate) struct Topology {
    roots: HostRoots,
    none: Arc<Attributes>,
    file: Kept,
    /// What the file had in it when the CPUs were counted.
    online: Vec<u8>,
    logical: Option<u64>,
    physical: Option<u64>,
}

impl Topology {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            none: Arc::new(Attributes::empty()),
            file: Kept::new(roots.sys().join("devices/system/cpu/online")),
            online: Vec::new(),
            logical: None,
            physical: None,
        }
    }

    /// CPUs that are online.
    pub(crate) const fn logical(&self) -> Option<u64> {
        self.logical
    }

    /// Looks for CPUs that came online or went offline. `/proc/cpuinfo`, which takes long, is read in a thorough look only.
    pub(crate) fn update(&mut self, is_thorough: bool, out: &mut Readings<'_>) {
        let mut page = [0; PAGE];
        match self.file.read(&mut page) {
            Ok(online) if online == self.online => {}
            Ok(online) => {
                self.online = online.to_owned();
                if let Some(cpus) = ranges(online.trim_ascii()) {
                    self.logical = Some(cpus.iter().map(|(first, last)| last - first + 1).sum());
                    self.physical = self.cores(&cpus).or_else(|| self.cpuinfo().1);
                } else {
                    out.skip(Reason::Malformed);
                    (self.logical, self.physical) = self.cpuinfo();
                }
            }
            Err(_) if is_thorough => {
                self.online.clear();
                (self.logical, self.physical) = self.cpuinfo();
            }
            Err(_) => {}
        }
    }

    /// The points.
    pub(crate) fn points(&self, out: &mut Readings<'_>) {
        let time = Timestamp::now();
        for (instrument, count) in [(&CPU_LOGICAL_COUNT, self.logical), (&CPU_PHYSICAL_COUNT, self.physical)] {
            if let Some(count) = count {
                out.gauge(instrument, &self.none, count as i64, time);
            }
        }
    }

    fn cores(&self, cpus: &[(u64, u64)]) -> Option<u64> {
        let folder = self.roots.sys().join("devices/system/cpu");
        let mut cores = HashSet::new();
        for cpu in cpus.iter().flat_map(|(first, last)| *first..=*last) {
            let topology = folder.join(format!("cpu{cpu}/topology"));
            let text = |name: &str| sysfs::text(&topology.join(name));
            let core = text("core_cpus_list")
                .or_else(|| text("thread_siblings_list"))
                .or_else(|| Some(format!("{:?}/{}", text("physical_package_id"), text("core_id")?)));
            cores.extend(core);
        }
        (!cores.is_empty()).then_some(cores.len() as u64)
    }

    /// CPUs and cores by `/proc/cpuinfo`.
    fn cpuinfo(&self) -> (Option<u64>, Option<u64>) {
        let text = read_bounded(&self.roots.proc().join("cpuinfo"), MAX_CPUINFO).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let (mut cpus, mut package, mut cores) = (0, String::new(), HashSet::new());
        for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.trim_end() {
                "processor" => {
                    cpus += 1;
                    package.clear();
                }
                "physical id" => value.clone_into(&mut package),
                "core id" => {
                    cores.insert((package.clone(), value.to_owned()));
                }
                _ => {}
            }
        }
        let known = |count: u64| (count > 0).then_some(count);
        (known(cpus), known(cores.len() as u64))
    }
}

/// The ranges of a list such as `0-3,8,10-11`, which the kernel writes in order; `None` where it is no such list.
fn ranges(list: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for part in list.split(|byte| *byte == b',') {
        let (first, last) = match part.iter().position(|byte| *byte == b'-') {
            Some(dash) => (&part[..dash], &part[dash + 1..]),
            None => (part, part),
        };
        let (first, last) = (whole(first)?, whole(last)?);
        let is_next = ranges.last().is_none_or(|(_, before)| *before < first);
        if !is_next || last < first || last >= MAX_CPUS {
            return None;
        }
        ranges.push((first, last));
    }
    Some(ranges)
}

#[cfg(test)]
#[path = "topology_tests.rs"]
mod tests;
