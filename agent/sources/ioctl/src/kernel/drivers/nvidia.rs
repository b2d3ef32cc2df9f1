//! NVIDIA's drivers.

use super::specifics::Specifics;

pub(super) static SPECIFICS: Specifics = Specifics {
    arguments: |device| (device.family.wraps_commands)(&device.name).then_some(agent_ebpf::NVIDIA),
    layouts: None,
    shared_functions: &[
        // It calls them, before 545.23.06 (`nvidia/nv-frontend.c`).
        (
            "nvidia_frontend_unlocked_ioctl",
            &["nvidia_unlocked_ioctl", "nvkms_unlocked_ioctl"],
        ),
    ],
};
