//! Finding of `agent doctor` about the kernel's log.

use std::time::Instant;

use super::device::Devices;
use super::devices::Finder;
use super::log::{Log, LogError};
use super::settings::NAME;
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::Finding;

/// Opens the log as the sampler does, and reads nothing of it.
pub(crate) fn explain(roots: &HostRoots) -> Finding {
    let mut devices = Devices::new();
    Finder::new(roots.clone(), String::new()).update(&mut devices, Instant::now());
    let count = devices.len();
    if count == 0 {
        return Finding::nothing(
            NAME,
            "no accelerator on the PCI bus, of which the kernel's log could tell faults",
        );
    }
    match Log::open(roots, false) {
        Ok(_) => Finding::ok(
            NAME,
            format!("the kernel's log is read for faults of {count} accelerator(s)"),
        ),
        Err(error @ (LogError::Absent(_) | LogError::Other(_))) => {
            Finding::nothing(NAME, error.to_string()).with_remedy(error.remedy())
        }
        Err(error @ (LogError::Forbidden(_) | LogError::Failed(..))) => {
            let cause = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
            let what = format!("{error}{cause}; faults that only the kernel's log tells are missing");
            Finding::warn(NAME, what).with_remedy(error.remedy())
        }
    }
}
