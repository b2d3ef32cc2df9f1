//! Drivers of the kernel's Direct Rendering Manager.

use super::specifics::Specifics;

pub(super) static SPECIFICS: Specifics = Specifics {
    arguments: |_| None,
    layouts: None,
    shared_functions: &[
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
    ],
};
