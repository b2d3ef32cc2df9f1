//! Families of vendors without a source of their own.
//!
//! Sources: tt-kmd, Linux 6.1 to 6.18, and for vendors with unpublished drivers the device names in their container
//! toolkits.

use accelscope_core::device::{Abi, CommandTable, Commands, DeviceFamily, NodeKind, Requires, hook, row};

use crate::commands::{drm_core, drm_drivers, small, table};

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
    nodes: &[nodes(&["kfd"], &["kfd"])],
    hooks: &[row(&["*"], "", &[hook("amdgpu", "kfd_ioctl")])],
    commands: Commands::Tables(|_, _| [Some(small::KFD), None]),
    ..DeviceFamily::named("amd_kfd")
};

/// A GPU of the kernel's Direct Rendering Manager (`/dev/dri/`).
pub static DRM: DeviceFamily = DeviceFamily {
    nodes: &[nodes(&["drm"], &["dri/renderD#", "dri/card#"])],
    hooks: &[
        row(&["*"], "amdgpu", &[hook("amdgpu", "amdgpu_drm_ioctl")]),
        row(&["*"], "radeon", &[hook("radeon", "radeon_drm_ioctl")]),
        row(&["*"], "nouveau", &[hook("nouveau", "nouveau_drm_ioctl")]),
        row(&["*"], "xe", &[hook("xe", "xe_drm_ioctl")]),
        row(&["*"], "", &[hook("drm", "drm_ioctl")]),
    ],
    abi: Abi::DriverName,
    commands: Commands::Tables(|driver, _| drm(driver)),
    ..DeviceFamily::named("drm")
};

/// An accelerator of the kernel's accel subsystem (`/dev/accel/`) that has no family of its own.
pub static ACCEL: DeviceFamily = DeviceFamily {
    nodes: &[nodes(&["accel"], &["accel/accel#"])],
    hooks: &[row(&["*"], "", &[hook("drm", "drm_ioctl")])],
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
    nodes: &[nodes(&[], &["rbln#", "rsd#"])],
    ..DeviceFamily::named("rebellions")
};

/// Tenstorrent's accelerators.
pub static TENSTORRENT: DeviceFamily = DeviceFamily {
    nodes: &[nodes(&["tenstorrent"], &["tenstorrent/#"])],
    hooks: &[row(
        &["*", "tenstorrent/#"],
        "",
        &[hook("tenstorrent", "tt_cdev_ioctl")],
    )],
    commands: Commands::Tables(|_, _| [Some(small::TENSTORRENT), None]),
    ..DeviceFamily::named("tenstorrent")
};

/// Intel Gaudi, once Habana.
pub static HABANA: DeviceFamily = DeviceFamily {
    nodes: &[
        nodes(&["habanalabs"], &["hl#", "hl_controlD#"]),
        NodeKind {
            requires: Requires::Driver("habanalabs"),
            ..nodes(&["accel"], &["accel/accel#", "accel/accel_controlD#"])
        },
    ],
    hooks: &[
        row(
            &["hl_controlD#", "accel_controlD#"],
            "",
            &[hook("habanalabs", "hl_ioctl_control")],
        ),
        row(&["hl#"], "", &[hook("habanalabs", "hl_ioctl")]),
        row(&["accel#"], "", &[hook("drm", "drm_ioctl")]),
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
            requires: GOOGLE,
            ..nodes(&["accel"], &["accel#", "accel/accel#"])
        },
        NodeKind {
            requires: GOOGLE,
            ..nodes(&["vfio", "vfio-dev"], &["vfio/#", "vfio/devices/vfio#"])
        },
        nodes(&["apex"], &["apex_#"]),
    ],
    hooks: &[row(&["apex_#"], "", &[hook("gasket", "gasket_ioctl")])],
    commands: Commands::Tables(|_, node| [node.starts_with("apex").then_some(small::GASKET), None]),
    ..DeviceFamily::named("tpu")
};

/// A node that the configuration names without a family.
pub static OTHER: DeviceFamily = DeviceFamily::named("other");

/// Nodes of classes that are called as their drivers are in `/proc/devices`.
const fn nodes(names: &'static [&'static str], nodes: &'static [&'static str]) -> NodeKind {
    NodeKind {
        classes: names,
        drivers: names,
        nodes,
        requires: Requires::Nothing,
    }
}

/// The driver's own commands begin at 0x40, so that the two tables do not overlap.
fn drm(driver: Option<&str>) -> [Option<CommandTable>; 2] {
    // DRM takes a command by its number and lets the size of its struct grow.
    let table = |entries| table(b'd', entries);
    let known = drm_drivers::DRIVERS
        .iter()
        .find(|(names, _)| driver.is_some_and(|driver| names.contains(&driver)));
    [Some(table(drm_core::CORE)), known.map(|(_, entries)| table(*entries))]
}
