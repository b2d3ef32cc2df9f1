//! Findings of `agent doctor`: which files there are.

use super::settings::NAME;
use accelscope_core::host::HostRoots;
use accelscope_core::host::sysfs;
use accelscope_core::sampler::Finding;

/// What this machine tells of the holders of accelerators.
pub fn explain(roots: &HostRoots) -> Vec<Finding> {
    let groups = roots.path("/sys/fs/cgroup");
    let unified = [groups.clone(), groups.join("unified")]
        .into_iter()
        .find(|mount| mount.join("cgroup.controllers").exists());
    let is_legacy = groups.join("memory/cgroup.procs").exists() || groups.join("cpu/cgroup.procs").exists();
    let version = match (&unified, is_legacy) {
        (None, false) => {
            let what = format!(
                "{} shows no control groups: nothing is known of what the holders of accelerators wait for",
                groups.display()
            );
            let remedy = "in a container, mount the host's /sys read-only under host.root";
            return vec![Finding::warn(NAME, what).with_remedy(remedy)];
        }
        (Some(_), false) => "version 2",
        (Some(_), true) => "versions 1 and 2",
        (None, true) => "version 1",
    };
    let has_pressure = unified.is_some() && roots.proc().join("pressure/memory").exists();
    let counts_waits = sysfs::text(&roots.proc().join("self/schedstat")).is_some_and(|text| !text.starts_with("0 0"));
    let mut missing = Vec::new();
    if !has_pressure {
        missing
            .push("stalls on memory and I/O (pressure: cgroup v2, CONFIG_PSI, and psi=1 on the kernel's command line)");
    }
    if !counts_waits {
        missing.push("waits for a CPU (CONFIG_SCHEDSTATS or CONFIG_TASK_DELAY_ACCT)");
    }
    let what = format!("control groups of {version} tell what the holders of accelerators wait for");
    if missing.is_empty() {
        return vec![Finding::ok(NAME, what)];
    }
    vec![Finding::ok(
        NAME,
        format!("{what}; this kernel does not count {}", missing.join(" and ")),
    )]
}
