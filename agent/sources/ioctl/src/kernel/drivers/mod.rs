//! The drivers with peculiarities, by vendor.

mod drm;
mod hailo;
mod nvidia;
mod specifics;

use self::specifics::Specifics;
pub(super) use self::specifics::{LayoutTable, Layouts};
use crate::Device;

static ALL: [&Specifics; 3] = [&drm::SPECIFICS, &hailo::SPECIFICS, &nvidia::SPECIFICS];

/// [`agent_ebpf::Watched::arguments`] of a device: 0 if the programs do not read its calls' arguments.
pub(super) fn arguments(device: &Device) -> u32 {
    ALL.iter()
        .find_map(|driver| (driver.arguments)(device))
        .unwrap_or_default()
}

/// All maps with layouts of arguments.
pub(super) fn layouts() -> impl Iterator<Item = &'static Layouts> {
    ALL.iter().filter_map(|driver| driver.layouts.as_ref())
}

/// The function that calls of this function pass as well, before or after it. Of the two only one may be hooked, or calls
/// would be counted twice.
pub(super) fn shared_function(function: &str) -> Option<&'static str> {
    ALL.iter()
        .flat_map(|driver| driver.shared_functions)
        .find(|(_, others)| others.contains(&function))
        .map(|(shared, _)| *shared)
}
