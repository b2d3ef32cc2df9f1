//! Findings for `agent doctor`.

use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::CpuTimes;
use accelscope_core::sampler::Finding;

use crate::identity::Identity;
use crate::rapl::{Condition, DENIED, DENIED_REMEDY, Found, Zone};
use crate::reason::Reason;
use crate::sampler::NOTHING;
use crate::settings::{NAME, Settings};
use crate::{hwmon, rapl, supply, thermal};

/// What is found, and what must not be read.
pub(crate) fn explain(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let found = if settings.rapl {
        rapl::find(roots, &Identity::new(roots, ""))
    } else {
        Found::default()
    };
    let mut findings = Vec::new();
    let conditions: Vec<(&str, Condition<'_>)> = found.zones.iter().map(Zone::condition).collect();
    let read = names(&conditions, |condition| {
        matches!(condition, Condition::Read | Condition::Instead(..))
    });
    let mut what = Vec::new();
    if !read.is_empty() {
        what.push(format!("RAPL ({})", read.join(", ")));
    }
    if settings.hwmon {
        let (chips, others) = hwmon::count(roots);
        let others = match others {
            0 => String::new(),
            _ => format!(" ({others} more of accelerators, disks, zones and batteries)"),
        };
        what.extend((chips > 0).then(|| format!("{chips} hwmon chip(s){others}")));
    }
    if settings.thermal {
        let zones = thermal::list(roots).len();
        what.extend((zones > 0).then(|| format!("{zones} thermal zone(s)")));
    }
    if settings.supplies {
        let supplies = supply::count(roots);
        what.extend((supplies > 0).then(|| format!("{supplies} battery or mains")));
    }
    if !what.is_empty() {
        findings.push(Finding::ok(NAME, what.join(", ")));
    }
    if settings.attributed && !read.is_empty() && !CpuTimes::is_accounted(roots) {
        let what = "no control groups with CPU accounting are seen: the energy of processors and memory stays nobody's";
        let remedy = "mount the host's /sys/fs/cgroup, or its root and set host.root, as deploy/kustomize does; on cgroup \
                      v1 the kernel needs the controller cpuacct";
        findings.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
    findings.extend(of_zones(&conditions));
    if found.hidden > 0 {
        let what = format!("{} zone(s) of RAPL are hidden from this container", found.hidden);
        let remedy = "container runtimes mask /sys/devices/virtual/powercap: mount the host's root and set host.root, as \
                      deploy/kustomize does";
        findings.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
    if findings.is_empty() {
        findings.push(Finding::nothing(NAME, NOTHING));
    }
    findings
}

fn names<'a>(conditions: &[(&'a str, Condition<'_>)], is_wanted: impl Fn(&Condition<'_>) -> bool) -> Vec<&'a str> {
    let wanted = conditions.iter().filter(|(_, condition)| is_wanted(condition));
    wanted.map(|(name, _)| *name).collect()
}

/// Zones that are not read as they are to be, by why.
fn of_zones(conditions: &[(&str, Condition<'_>)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let denied = names(conditions, |condition| {
        matches!(condition, Condition::Unread(_, Reason::NoPermission))
    });
    if !denied.is_empty() {
        let what = format!("{DENIED}: {}", denied.join(", "));
        findings.push(Finding::warn(NAME, what).with_remedy(DENIED_REMEDY));
    }
    let failed = |(name, condition): &(&str, Condition<'_>)| match condition {
        Condition::Unread(_, Reason::NoPermission) | Condition::Read | Condition::Zero => None,
        Condition::Unread(zone, reason) => Some(format!("{name} ({zone}: {})", reason.describe())),
        Condition::Instead(zone, reason, other) => {
            let reason = reason.describe();
            Some(format!("{name} ({zone}: {reason}; {other} is read instead)"))
        }
    };
    let failed: Vec<String> = conditions.iter().filter_map(failed).collect();
    if !failed.is_empty() {
        let what = format!("energy of RAPL that cannot be read: {}", failed.join(", "));
        let remedy = "look at energy_uj of these zones in /sys/class/powercap and at `dmesg` for the driver";
        findings.push(Finding::warn(NAME, what).with_remedy(remedy));
    }
    let zero = names(conditions, |condition| *condition == Condition::Zero);
    if !zero.is_empty() {
        let zones = zero.join(", ");
        let what = format!("RAPL counts nothing for {zones}: the counter stays 0, as those of virtual machines do");
        // A board's platform counter that is not wired is nothing that anyone can mend.
        findings.push(if zero.iter().all(|name| name.starts_with("psys")) {
            let what =
                format!("RAPL counts nothing for {zones}: the counter is 0, as that of a board without its sensor is");
            Finding::nothing(NAME, what)
        } else {
            let remedy = "run an agent on the machine that the virtual one is on, or set power.rapl = false";
            Finding::warn(NAME, what).with_remedy(remedy)
        });
    }
    findings
}
