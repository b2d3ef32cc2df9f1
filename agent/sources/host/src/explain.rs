//! The finding of `agent doctor` about the host.

use std::io;

use crate::info;
use crate::kept::{Kept, is_absent};
use crate::settings::{NAME, Settings};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::Finding;

/// Files without which there is next to nothing.
const FILES: [&str; 2] = ["stat", "meminfo"];

/// Tries the files that the sampler reads.
pub(crate) fn explain(settings: &Settings, roots: &HostRoots) -> Finding {
    let read = |name: &str| -> io::Result<()> {
        let mut file = Kept::new(roots.proc().join(name));
        file.read(&mut [0; 64]).map(drop)
    };
    for name in FILES {
        let Err(error) = read(name) else { continue };
        let what = format!("{}: {error}", roots.proc().join(name).display());
        if is_absent(&error) {
            return Finding::nothing(NAME, what)
                .with_remedy("in a container, mount the host's / and name it in host.root");
        }
        return Finding::warn(NAME, what).with_remedy("run the agent as a user who may read it, such as root");
    }
    let kernel = info::kernel(roots).map_or_else(String::new, |kernel| format!(" of Linux {kernel}"));
    let more = [
        ("disks", settings.disks),
        ("filesystems", settings.filesystems),
        ("network", settings.network),
    ];
    let more: String = more
        .into_iter()
        .filter(|(_, is_on)| *is_on)
        .map(|(name, _)| format!(", {name}"))
        .collect();
    let what = format!("reads CPU, load, memory, uptime{more}{kernel}");
    match read("pressure/cpu") {
        Ok(()) => Finding::ok(NAME, format!("{what}, and pressure")),
        Err(error) if is_absent(&error) => {
            let why = "no pressure: the kernel does not measure it";
            Finding::ok(NAME, format!("{what}; {why}")).with_remedy(
                "where it is wanted, boot a kernel that has CONFIG_PSI (Linux 4.20) with psi=1 on its command line",
            )
        }
        Err(error) => Finding::warn(NAME, format!("{what}; no pressure: {error}"))
            .with_remedy("let the agent read /proc/pressure, which its container's or service's rules hide"),
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
