//! Findings for `agent doctor`.

use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::CpuTimes;
use accelscope_core::sampler::Finding;

use crate::identity::Identity;
use crate::rapl::{DENIED, DENIED_REMEDY, Found};
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
    let read = found.names(true);
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
    let denied = found.names(false);
    if !denied.is_empty() {
        let what = format!("{DENIED}: {}", denied.join(", "));
        findings.push(Finding::warn(NAME, what).with_remedy(DENIED_REMEDY));
    }
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
