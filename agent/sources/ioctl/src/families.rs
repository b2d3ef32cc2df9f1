//! The one table of families: by which signs a device node is known.
//!
//! Sources: NVIDIA open-gpu-kernel-modules 595.45, hailort-drivers 4.17 to 5.3, Huawei's driver, tt-kmd, Linux 6.1 to 6.18,
//! and for vendors whose drivers are not published what their container toolkits name.

use super::family::Family;

/// Signs of one kind of node.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) family: Family,
    /// Classes in sysfs.
    pub(super) classes: &'static [&'static str],
    /// Names in `/proc/devices`.
    pub(super) drivers: &'static [&'static str],
    /// Paths below `/dev`: `#` stands for digits, `*` for anything but a slash.
    pub(super) nodes: &'static [&'static str],
    /// What else must be so, where subsystems are shared.
    pub(super) only: Only,
}

/// What else must be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Only {
    /// Nothing.
    Always,
    /// The device's PCI vendor, as sysfs writes it.
    Vendor(&'static str),
    /// The name of the device's driver in sysfs.
    Driver(&'static str),
}

const GOOGLE: Only = Only::Vendor("0x1ae0");

/// Every kind. Those that ask for more stand before those that ask for less.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        family: Family::Hailo,
        classes: &["hailo_chardev", "hailo1x", "hailo1x_integrated"],
        drivers: &["hailo", "hailo1x", "hailo_integrated_nnc"],
        nodes: &["hailo#", "h1x-#", "h1x", "hailo_integrated_nnc"],
        only: Only::Always,
    },
    Kind {
        family: Family::Nvidia,
        // The driver makes no class: its nodes are made by nvidia-modprobe.
        classes: &[],
        drivers: &[
            "nvidia",
            // Before 545.23.06.
            "nvidia-frontend",
            "nvidiactl",
            "nvidia-modeset",
            "nvidia-uvm",
            "nvidia-caps",
            "nvidia-caps-imex-channels",
            "nvidia-nvswitch",
            "nvidia-nvlink",
        ],
        nodes: &[
            "nvidia#",
            "nvidiactl",
            "nvidia-modeset",
            "nvidia-uvm",
            "nvidia-uvm-tools",
            "nvidia-nvswitch#",
            "nvidia-nvswitchctl",
            "nvidia-nvlink",
            "nvidia-caps/nvidia-cap#",
            "nvidia-caps-imex-channels/channel#",
        ],
        only: Only::Always,
    },
    Kind {
        family: Family::Ascend,
        classes: &[],
        drivers: &["devdrv-cdev", "hisi_davinci_intf", "devmm_svm", "hisi_hdc"],
        nodes: &[
            "davinci#",
            "davinci_manager",
            "davinci_manager_docker",
            "devmm_svm",
            "hisi_hdc",
            "dvpp_cmdlist",
            "lqdcmi_pcidev",
            "event_sched",
        ],
        only: Only::Always,
    },
    Kind {
        family: Family::AmdKfd,
        classes: &["kfd"],
        drivers: &["kfd"],
        nodes: &["kfd"],
        only: Only::Always,
    },
    Kind {
        family: Family::Habana,
        classes: &["habanalabs"],
        drivers: &["habanalabs"],
        nodes: &["hl#", "hl_controlD#"],
        only: Only::Always,
    },
    Kind {
        family: Family::Habana,
        classes: &["accel"],
        drivers: &["accel"],
        nodes: &["accel/accel#", "accel/accel_controlD#"],
        only: Only::Driver("habanalabs"),
    },
    Kind {
        family: Family::Tpu,
        classes: &["accel"],
        drivers: &["accel"],
        nodes: &["accel#", "accel/accel#"],
        only: GOOGLE,
    },
    Kind {
        family: Family::Tpu,
        classes: &["vfio", "vfio-dev"],
        drivers: &["vfio", "vfio-dev"],
        nodes: &["vfio/#", "vfio/devices/vfio#"],
        only: GOOGLE,
    },
    Kind {
        family: Family::Tpu,
        classes: &["apex"],
        drivers: &["apex"],
        nodes: &["apex_#"],
        only: Only::Always,
    },
    Kind {
        family: Family::Tenstorrent,
        classes: &["tenstorrent"],
        drivers: &["tenstorrent"],
        nodes: &["tenstorrent/#"],
        only: Only::Always,
    },
    Kind {
        family: Family::Furiosa,
        classes: &["rngd_mgmt"],
        drivers: &[],
        nodes: &["rngd/npu#*", "npu#", "npu#pe#", "npu#pe#-#", "npu#_mgmt"],
        only: Only::Always,
    },
    Kind {
        family: Family::Rebellions,
        classes: &[],
        drivers: &[],
        nodes: &["rbln#", "rsd#"],
        only: Only::Always,
    },
    Kind {
        family: Family::Drm,
        classes: &["drm"],
        drivers: &["drm"],
        nodes: &["dri/renderD#", "dri/card#"],
        only: Only::Always,
    },
    Kind {
        family: Family::Accel,
        classes: &["accel"],
        drivers: &["accel"],
        nodes: &["accel/accel#"],
        only: Only::Always,
    },
];

/// What is seen of a node.
#[derive(Debug)]
pub(super) struct Signs<'a> {
    /// Its class in sysfs.
    pub(super) class: Option<&'a str>,
    /// What `/proc/devices` calls its major number; nothing where that cannot be read.
    pub(super) drivers: Option<&'a [String]>,
    /// Its path below `/dev`.
    pub(super) node: Option<&'a str>,
    /// Its device's PCI vendor and driver.
    pub(super) vendor: Option<&'a str>,
    pub(super) driver: Option<&'a str>,
}

impl Signs<'_> {
    /// The kind of the node. Its class or its driver's name decides; its own name only where no known driver has its
    /// number, because a node may be older than the driver that got that number now.
    pub(super) fn kind(&self) -> Option<&'static Kind> {
        let held = |kind: &&Kind| match kind.only {
            Only::Always => true,
            Only::Vendor(vendor) => self.vendor == Some(vendor),
            Only::Driver(driver) => self.driver == Some(driver),
        };
        let strong =
            |kind: &&Kind| self.class.is_some_and(|class| kind.classes.contains(&class)) || self.has_driver_of(kind);
        let mut kinds = KINDS.iter().filter(held);
        if let Some(kind) = kinds.clone().find(strong) {
            return Some(kind);
        }
        if self.is_of_another_driver() {
            return None;
        }
        kinds.find(|kind| self.node.is_some_and(|node| kind.has_node(node)))
    }

    fn has_driver_of(&self, kind: &Kind) -> bool {
        let mut drivers = self.drivers.unwrap_or_default().iter();
        drivers.any(|driver| kind.drivers.contains(&driver.as_str()))
    }

    /// Nobody's number any more, memory (`/dev/null` under another name hides a device), or that of another kind.
    fn is_of_another_driver(&self) -> bool {
        let Some(drivers) = self.drivers else { return false };
        drivers.is_empty()
            || drivers.iter().any(|driver| driver == "mem")
            || KINDS.iter().any(|kind| self.has_driver_of(kind))
    }
}

impl Kind {
    /// Whether its nodes are named so.
    pub(super) fn has_node(&self, node: &str) -> bool {
        self.nodes
            .iter()
            .any(|pattern| matches(pattern.as_bytes(), node.as_bytes()))
    }
}

/// Folders below `/dev` in which nodes of a kind lie, the empty one for `/dev` itself.
pub(super) fn folders() -> Vec<&'static str> {
    let patterns = KINDS.iter().flat_map(|kind| kind.nodes);
    let mut folders: Vec<&str> = patterns
        .map(|pattern| pattern.rsplit_once('/').map_or("", |(folder, _)| folder))
        .collect();
    folders.sort_unstable();
    folders.dedup();
    folders
}

/// Whether a name fits a pattern of [`Kind::nodes`].
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            let most = name.iter().take_while(|&&byte| byte != b'/').count();
            (0..=most).any(|taken| matches(rest, &name[taken..]))
        }
        Some((b'#', rest)) => {
            let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=digits).any(|taken| matches(rest, &name[taken..]))
        }
        Some((byte, rest)) => name
            .split_first()
            .is_some_and(|(first, more)| first == byte && matches(rest, more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(class: Option<&str>, drivers: &[&str], node: &str) -> Option<Family> {
        let drivers: Vec<String> = drivers.iter().map(ToString::to_string).collect();
        let signs = Signs {
            class,
            drivers: Some(&drivers),
            node: Some(node),
            vendor: None,
            driver: None,
        };
        signs.kind().map(|kind| kind.family)
    }

    #[test]
    fn nodes_are_known_by_their_names() {
        for (node, expected) in [
            ("hailo0", Some(Family::Hailo)),
            ("h1x-12", Some(Family::Hailo)),
            ("h1x", Some(Family::Hailo)),
            ("nvidia255", Some(Family::Nvidia)),
            ("nvidia-caps/nvidia-cap17", Some(Family::Nvidia)),
            ("davinci_manager", Some(Family::Ascend)),
            ("rngd/npu0pe0-3", Some(Family::Furiosa)),
            ("npu0pe0-3", Some(Family::Furiosa)),
            ("rbln3", Some(Family::Rebellions)),
            ("tenstorrent/0", Some(Family::Tenstorrent)),
            ("hl_controlD0", Some(Family::Habana)),
            ("dri/renderD128", Some(Family::Drm)),
            ("dri/by-path", None),
            ("hailo", None),
            ("nvidia", None),
            ("nvidia0x", None),
            ("npu", None),
            ("tenstorrent/by-id", None),
            ("accel0", None),
            ("vfio/12", None),
            ("tty0", None),
        ] {
            assert_eq!(family(None, &["somebody"], node), expected, "{node}");
        }
    }

    #[test]
    fn a_number_that_somebody_else_has_now_is_not_taken_by_the_nodes_name() {
        assert_eq!(family(None, &["hisi_hdc"], "hailo0"), Some(Family::Ascend));
        assert_eq!(family(None, &[], "hailo0"), None, "its driver is gone");
        assert_eq!(family(None, &["mem"], "nvidia0"), None, "/dev/null in its place");
        assert_eq!(
            family(Some("hailo_chardev"), &["hailo"], "renamed"),
            Some(Family::Hailo)
        );
    }

    #[test]
    fn shared_subsystems_are_told_apart_by_vendor_and_driver() {
        let accel = |vendor, driver, node| {
            let drivers = ["accel".to_owned()];
            let signs = Signs {
                class: Some("accel"),
                drivers: Some(&drivers),
                node: Some(node),
                vendor,
                driver,
            };
            signs.kind().map(|kind| kind.family)
        };
        assert_eq!(accel(Some("0x1ae0"), None, "accel0"), Some(Family::Tpu));
        assert_eq!(
            accel(Some("0x1da3"), Some("habanalabs"), "accel/accel0"),
            Some(Family::Habana)
        );
        assert_eq!(
            accel(Some("0x8086"), Some("intel_vpu"), "accel/accel0"),
            Some(Family::Accel)
        );
    }

    #[test]
    fn only_the_folders_of_the_table_are_looked_into() {
        let folders = folders();
        assert!(folders.contains(&"") && folders.contains(&"dri") && folders.contains(&"vfio/devices"));
        assert!(folders.iter().all(|folder| !folder.contains(['#', '*'])), "{folders:?}");
    }
}
