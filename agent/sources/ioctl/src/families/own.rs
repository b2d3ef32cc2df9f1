//! Families of vendors without a source of their own.
//!
//! Sources: tt-kmd, Linux 6.1 to 6.18, and for vendors with unpublished drivers the device names in their container
//! toolkits.

use accelscope_core::device::{Abi, CommandTable, Commands, DeviceFamily, HookRow, NodeKind, Requires, public};

use crate::commands::{drm_core, drm_drivers, small};

/// Every family of this file.
pub(crate) const OWN: &[&DeviceFamily] = &[
    &AMD_KFD,
    &DRM,
    &ACCEL,
    &FURIOSA,
    &REBELLIONS,
    &TENSTORRENT,
    &HABANA,
    &TPU,
    &OTHER,
];

const GOOGLE: Requires = Requires::Vendor("0x1ae0");

/// AMD's compute interface (`/dev/kfd`), one node for all GPUs.
pub static AMD_KFD: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["kfd"],
        drivers: &["kfd"],
        nodes: &["kfd"],
        requires: Requires::Nothing,
    }],
    hooks: &[HookRow {
        names: &["*"],
        driver: "",
        hooks: &[public("amdgpu", "kfd_ioctl")],
    }],
    commands: Commands::Tables(|_, _| [Some(small::KFD), None]),
    ..DeviceFamily::named("amd_kfd")
};

/// A GPU of the kernel's Direct Rendering Manager (`/dev/dri/`).
pub static DRM: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["drm"],
        drivers: &["drm"],
        nodes: &["dri/renderD#", "dri/card#"],
        requires: Requires::Nothing,
    }],
    hooks: &[
        HookRow {
            names: &["*"],
            driver: "amdgpu",
            hooks: &[public("amdgpu", "amdgpu_drm_ioctl")],
        },
        HookRow {
            names: &["*"],
            driver: "radeon",
            hooks: &[public("radeon", "radeon_drm_ioctl")],
        },
        HookRow {
            names: &["*"],
            driver: "nouveau",
            hooks: &[public("nouveau", "nouveau_drm_ioctl")],
        },
        HookRow {
            names: &["*"],
            driver: "xe",
            hooks: &[public("xe", "xe_drm_ioctl")],
        },
        HookRow {
            names: &["*"],
            driver: "",
            hooks: &[public("drm", "drm_ioctl")],
        },
    ],
    abi: Abi::DriverName,
    commands: Commands::Tables(|driver, _| drm(driver)),
    ..DeviceFamily::named("drm")
};

/// An accelerator of the kernel's accel subsystem (`/dev/accel/`) that has no family of its own.
pub static ACCEL: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["accel"],
        drivers: &["accel"],
        nodes: &["accel/accel#"],
        requires: Requires::Nothing,
    }],
    hooks: &[HookRow {
        names: &["*"],
        driver: "",
        hooks: &[public("drm", "drm_ioctl")],
    }],
    abi: Abi::DriverName,
    commands: Commands::Tables(|driver, _| drm(driver)),
    ..DeviceFamily::named("accel")
};

/// FuriosaAI's NPUs.
pub static FURIOSA: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["rngd_mgmt"],
        drivers: &[],
        nodes: &["rngd/npu#*", "npu#", "npu#pe#", "npu#pe#-#", "npu#_mgmt"],
        requires: Requires::Nothing,
    }],
    ..DeviceFamily::named("furiosa")
};

/// Rebellions' NPUs.
pub static REBELLIONS: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &[],
        drivers: &[],
        nodes: &["rbln#", "rsd#"],
        requires: Requires::Nothing,
    }],
    ..DeviceFamily::named("rebellions")
};

/// Tenstorrent's accelerators.
pub static TENSTORRENT: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["tenstorrent"],
        drivers: &["tenstorrent"],
        nodes: &["tenstorrent/#"],
        requires: Requires::Nothing,
    }],
    hooks: &[HookRow {
        names: &["*", "tenstorrent/#"],
        driver: "",
        hooks: &[public("tenstorrent", "tt_cdev_ioctl")],
    }],
    commands: Commands::Tables(|_, _| [Some(small::TENSTORRENT), None]),
    ..DeviceFamily::named("tenstorrent")
};

/// Intel Gaudi, once Habana.
pub static HABANA: DeviceFamily = DeviceFamily {
    nodes: &[
        NodeKind {
            classes: &["habanalabs"],
            drivers: &["habanalabs"],
            nodes: &["hl#", "hl_controlD#"],
            requires: Requires::Nothing,
        },
        NodeKind {
            classes: &["accel"],
            drivers: &["accel"],
            nodes: &["accel/accel#", "accel/accel_controlD#"],
            requires: Requires::Driver("habanalabs"),
        },
    ],
    hooks: &[
        HookRow {
            names: &["hl_controlD#", "accel_controlD#"],
            driver: "",
            hooks: &[public("habanalabs", "hl_ioctl_control")],
        },
        HookRow {
            names: &["hl#"],
            driver: "",
            hooks: &[public("habanalabs", "hl_ioctl")],
        },
        HookRow {
            names: &["accel#"],
            driver: "",
            hooks: &[public("drm", "drm_ioctl")],
        },
    ],
    abi: Abi::DriverName,
    commands: Commands::Tables(|driver, node| {
        // `hl0` and `hl_controlD0` are those of before the accel subsystem.
        if node.starts_with("hl") {
            [Some(small::HABANA), None]
        } else {
            drm(driver.or(Some("habanalabs")))
        }
    }),
    ..DeviceFamily::named("habana")
};

/// Google's TPUs, those of the edge as well.
pub static TPU: DeviceFamily = DeviceFamily {
    nodes: &[
        NodeKind {
            classes: &["accel"],
            drivers: &["accel"],
            nodes: &["accel#", "accel/accel#"],
            requires: GOOGLE,
        },
        NodeKind {
            classes: &["vfio", "vfio-dev"],
            drivers: &["vfio", "vfio-dev"],
            nodes: &["vfio/#", "vfio/devices/vfio#"],
            requires: GOOGLE,
        },
        NodeKind {
            classes: &["apex"],
            drivers: &["apex"],
            nodes: &["apex_#"],
            requires: Requires::Nothing,
        },
    ],
    hooks: &[HookRow {
        names: &["apex_#"],
        driver: "",
        hooks: &[public("gasket", "gasket_ioctl")],
    }],
    commands: Commands::Tables(|_, node| [node.starts_with("apex").then_some(small::GASKET), None]),
    ..DeviceFamily::named("tpu")
};

/// A node that the configuration names without a family.
pub static OTHER: DeviceFamily = DeviceFamily {
    ..DeviceFamily::named("other")
};

/// The driver's own commands begin at 0x40, so that the two tables do not overlap.
fn drm(driver: Option<&str>) -> [Option<CommandTable>; 2] {
    let table = |entries| CommandTable {
        // DRM takes a command by its number and lets the size of its struct grow.
        mask: 0xffff,
        base: u32::from(b'd') << 8,
        entries,
    };
    let known = drm_drivers::DRIVERS
        .iter()
        .find(|(names, _)| driver.is_some_and(|driver| names.contains(&driver)));
    [Some(table(drm_core::CORE)), known.map(|(_, entries)| table(*entries))]
}
