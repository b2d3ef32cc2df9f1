//! The device node, and why there is none.

use std::io;
use std::path::PathBuf;

use accelscope_core::host::HostRoots;

/// Names that udev, devfs and older drivers give the first interface.
const NODES: [&str; 3] = ["/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0"];

/// Where the kernel's IPMI driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A device node, as a path of the host.
    Node(&'static str),
    /// There is an interface and no node: `ipmi_devintf` is not loaded.
    NoNode,
    /// The machine has a BMC by its firmware's tables, but no driver of its interface is loaded.
    NoDriver,
    /// No sign of a BMC.
    Nothing,
}

/// Looks at files; opens no device.
pub(super) fn look(roots: &HostRoots) -> Place {
    if let Some(node) = NODES.into_iter().find(|node| roots.char_device(node).is_ok()) {
        return Place::Node(node);
    }
    let has = |path: &str| std::fs::read_dir(roots.sys().join(path)).is_ok_and(|mut entries| entries.next().is_some());
    // ipmi_devintf makes the class, ipmi_msghandler a device for each BMC that an interface's driver has found.
    if has("class/ipmi") || roots.sys().join("devices/platform/ipmi_bmc.0").is_dir() {
        Place::NoNode
    } else if has("firmware/dmi/entries/38-0") || roots.sys().join("bus/acpi/devices/IPI0001:00").is_dir() {
        // Type 38 of SMBIOS (IPMI device information), and the interface's ACPI name (IPMI 2.0, C3).
        Place::NoDriver
    } else {
        Place::Nothing
    }
}

impl Place {
    /// Why there is nothing to read.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Node(_) => "there is a device node",
            Self::NoNode => "the kernel has an IPMI interface, but no device node for it: ipmi_devintf is not loaded",
            Self::NoDriver => "the machine has a BMC, but no driver of its IPMI interface is loaded",
            Self::Nothing => "no BMC: there is no /dev/ipmi0",
        }
    }

    /// What to do about it.
    pub(super) const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Node(_) | Self::Nothing => None,
            Self::NoNode => Some("`modprobe ipmi_devintf`, and name it in /etc/modules-load.d for the next start"),
            Self::NoDriver => Some("`modprobe ipmi_si ipmi_devintf` (on some machines ipmi_ssif in place of ipmi_si)"),
        }
    }
}

/// What helps where the node cannot be opened.
pub(super) const PERMISSION: &str = "run the agent as root or with CAP_DAC_READ_SEARCH, and let it open the device: \
     DeviceAllow=char-ipmidev of its unit, or deploy/kustomize/components/ipmi (privileged); ipmi.enabled = false if it \
     shall not";

/// Whether the error is one of missing permission.
pub(super) fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The node as a path of this process.
pub(super) fn path(roots: &HostRoots, node: &str) -> PathBuf {
    roots.path(node)
}
