//! The functions of drivers that take ioctls: where a probe costs nothing for other devices and other calls.

use super::families::matches;
use super::family::Family;

/// A driver's own `unlocked_ioctl`, with the signature `long (struct file *, unsigned int, unsigned long)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// The module that holds it, as `/sys/module` writes it. A built-in driver has the symbol in the kernel itself.
    pub module: &'static str,
    /// Its symbol. A static function may be missing, or be named otherwise after a compiler's work on it.
    pub symbol: &'static str,
    /// How far it can be relied on.
    pub known: Known,
}

/// How a hook is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Read in the driver's source at the versions that the table covers.
    Source,
    /// From public sources of some version; may differ elsewhere.
    Public,
}

/// Hooks of a kind of node.
struct Row {
    family: Family,
    /// Names of devices, as [`super::Device::name`] has them; a pattern of the table of families.
    names: &'static [&'static str],
    /// The driver's name in sysfs (`Device::abi` of DRM and accel); any where empty.
    driver: &'static str,
    hooks: &'static [Hook],
}

const fn source(module: &'static str, symbol: &'static str) -> Hook {
    Hook {
        module,
        symbol,
        known: Known::Source,
    }
}

const fn public(module: &'static str, symbol: &'static str) -> Hook {
    Hook {
        module,
        symbol,
        known: Known::Public,
    }
}

/// The first row that fits is taken.
const ROWS: &[Row] = &[
    Row {
        family: Family::Hailo,
        names: &["hailo_integrated_nnc", "h1x"],
        driver: "",
        hooks: &[source(
            "hailo_integrated_nnc",
            "hailo_integrated_nnc_fops_unlockedioctl",
        )],
    },
    Row {
        family: Family::Hailo,
        names: &["*"],
        driver: "",
        hooks: &[
            source("hailo_pci", "hailo_pcie_fops_unlockedioctl"),
            source("hailo1x_pci", "hailo_pcie_fops_unlockedioctl"),
        ],
    },
    Row {
        family: Family::Nvidia,
        names: &["nvidia-uvm", "nvidia-uvm-tools"],
        driver: "",
        hooks: &[
            public("nvidia_uvm", "uvm_unlocked_ioctl_entry"),
            public("nvidia_uvm", "uvm_unlocked_ioctl"),
        ],
    },
    Row {
        family: Family::Nvidia,
        names: &["nvidia-modeset"],
        driver: "",
        hooks: &[
            public("nvidia_modeset", "nvkms_unlocked_ioctl"),
            public("nvidia", "nvidia_frontend_unlocked_ioctl"),
        ],
    },
    Row {
        family: Family::Nvidia,
        names: &["nvidia-nvswitch#"],
        driver: "",
        hooks: &[public("nvidia", "nvswitch_device_unlocked_ioctl")],
    },
    Row {
        family: Family::Nvidia,
        names: &["nvidia-nvswitchctl"],
        driver: "",
        hooks: &[public("nvidia", "nvswitch_ctl_unlocked_ioctl")],
    },
    Row {
        family: Family::Nvidia,
        names: &["nvidia#", "nvidiactl"],
        driver: "",
        hooks: &[
            public("nvidia", "nvidia_unlocked_ioctl"),
            // Before 545.23.06.
            public("nvidia", "nvidia_frontend_unlocked_ioctl"),
        ],
    },
    Row {
        family: Family::Ascend,
        names: &["davinci_manager", "davinci_manager_docker"],
        driver: "",
        hooks: &[
            public("drv_davinci_intf_host", "drv_ascend_intf_ioctl"),
            public("drv_davinci_intf", "drv_ascend_intf_ioctl"),
        ],
    },
    Row {
        family: Family::Ascend,
        names: &["devmm_svm"],
        driver: "",
        hooks: &[public("drv_devmm_host", "devmm_svm_ioctl")],
    },
    Row {
        family: Family::AmdKfd,
        names: &["*"],
        driver: "",
        hooks: &[public("amdgpu", "kfd_ioctl")],
    },
    Row {
        family: Family::Drm,
        names: &["*"],
        driver: "amdgpu",
        hooks: &[public("amdgpu", "amdgpu_drm_ioctl")],
    },
    Row {
        family: Family::Drm,
        names: &["*"],
        driver: "radeon",
        hooks: &[public("radeon", "radeon_drm_ioctl")],
    },
    Row {
        family: Family::Drm,
        names: &["*"],
        driver: "nouveau",
        hooks: &[public("nouveau", "nouveau_drm_ioctl")],
    },
    Row {
        family: Family::Drm,
        names: &["*"],
        driver: "xe",
        hooks: &[public("xe", "xe_drm_ioctl")],
    },
    Row {
        family: Family::Drm,
        names: &["*"],
        driver: "",
        hooks: &[public("drm", "drm_ioctl")],
    },
    Row {
        family: Family::Accel,
        names: &["*"],
        driver: "",
        hooks: &[public("drm", "drm_ioctl")],
    },
    Row {
        family: Family::Habana,
        names: &["hl_controlD#", "accel_controlD#"],
        driver: "",
        hooks: &[public("habanalabs", "hl_ioctl_control")],
    },
    Row {
        family: Family::Habana,
        names: &["hl#"],
        driver: "",
        hooks: &[public("habanalabs", "hl_ioctl")],
    },
    Row {
        family: Family::Habana,
        names: &["accel#"],
        driver: "",
        hooks: &[public("drm", "drm_ioctl")],
    },
    Row {
        family: Family::Tenstorrent,
        names: &["*", "tenstorrent/#"],
        driver: "",
        hooks: &[public("tenstorrent", "tt_cdev_ioctl")],
    },
    Row {
        family: Family::Tpu,
        names: &["apex_#"],
        driver: "",
        hooks: &[public("gasket", "gasket_ioctl")],
    },
];

/// Candidates for a device, the likeliest first; empty where the driver is not published. They are alternatives: at most
/// one of them is to be attached, since an outer function calls the inner.
pub fn hooks(family: Family, driver: Option<&str>, name: &str) -> &'static [Hook] {
    let fits = |row: &&Row| {
        row.family == family
            && (row.driver.is_empty() || Some(row.driver) == driver)
            && row
                .names
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), name.as_bytes()))
    };
    ROWS.iter().find(fits).map_or(&[], |row| row.hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(family: Family, driver: Option<&str>, name: &str) -> Vec<&'static str> {
        hooks(family, driver, name).iter().map(|hook| hook.symbol).collect()
    }

    #[test]
    fn a_node_gets_the_function_of_its_own_driver() {
        assert_eq!(
            symbols(Family::Hailo, None, "h1x-0"),
            ["hailo_pcie_fops_unlockedioctl"; 2]
        );
        assert_eq!(
            symbols(Family::Hailo, None, "h1x"),
            ["hailo_integrated_nnc_fops_unlockedioctl"]
        );
        assert_eq!(
            symbols(Family::Nvidia, None, "nvidia-uvm")[0],
            "uvm_unlocked_ioctl_entry"
        );
        assert_eq!(symbols(Family::Nvidia, None, "nvidia0")[0], "nvidia_unlocked_ioctl");
        assert_eq!(
            symbols(Family::Nvidia, None, "nvidia-cap1"),
            [""; 0],
            "it takes no ioctls"
        );
        // amdgpu_drm_ioctl calls drm_ioctl: with both, a call would count twice.
        assert_eq!(symbols(Family::Drm, Some("amdgpu"), "renderD128"), ["amdgpu_drm_ioctl"]);
        assert_eq!(symbols(Family::Drm, Some("v3d"), "renderD128"), ["drm_ioctl"]);
        assert_eq!(symbols(Family::Habana, Some("habanalabs"), "accel0"), ["drm_ioctl"]);
        assert_eq!(symbols(Family::Tenstorrent, None, "tenstorrent/0"), ["tt_cdev_ioctl"]);
        assert_eq!(symbols(Family::Other, None, "full"), [""; 0]);
    }
}
