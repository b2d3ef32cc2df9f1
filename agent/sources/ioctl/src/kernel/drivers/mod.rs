//! What the programs know about drivers beyond the functions that they are hooked at.

mod hailo;

pub(super) use self::hailo::{LAYOUT_TABLE, LAYOUTS, LayoutKey, Layouts, layouts};
use crate::Device;

/// Functions that calls pass on their way to, or from, functions of other drivers or modules, with those others.
const SHARED_FUNCTIONS: [(&str, &[&str]); 2] = [
    // The drivers' own functions call it (`drivers/gpu/drm/*/*_drv.c`).
    (
        "drm_ioctl",
        &[
            "amdgpu_drm_ioctl",
            "radeon_drm_ioctl",
            "nouveau_drm_ioctl",
            "xe_drm_ioctl",
        ],
    ),
    // It calls them, before 545.23.06 (`nvidia/nv-frontend.c`).
    (
        "nvidia_frontend_unlocked_ioctl",
        &["nvidia_unlocked_ioctl", "nvkms_unlocked_ioctl"],
    ),
];

/// [`agent_ebpf::Watched::arguments`] of a device: 0 if the programs do not read its calls' arguments.
pub(super) fn arguments(device: &Device) -> u32 {
    if (device.family.wraps_commands)(&device.name) {
        agent_ebpf::NVIDIA
    } else {
        hailo::number(device).unwrap_or_default()
    }
}

/// The function that calls of this function pass as well, before or after it. Of the two only one may be hooked, or calls
/// would be counted twice.
pub(super) fn shared_function(function: &str) -> Option<&'static str> {
    let shared = SHARED_FUNCTIONS.iter().find(|(_, others)| others.contains(&function));
    shared.map(|(shared, _)| *shared)
}
