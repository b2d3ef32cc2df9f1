//! The device node, and why there is none.

use std::io;
use std::path::PathBuf;

use accelscope_core::host::{HostRoots, sysfs};
use rustix::io::Errno;

/// Names that udev, devfs and older drivers give the first interface.
const NODES: [&str; 3] = ["/dev/ipmi0", "/dev/ipmi/0", "/dev/ipmidev/0"];
/// Most interfaces of the kernel that are looked at; a server has one, some have two.
const MAX_INTERFACES: usize = 64;

/// Where the kernel's IPMI driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A device node, as a path of the host.
    Node(&'static str),
    /// A device node that stands for no interface that the kernel has now: its driver is not loaded, or it is left over.
    Stale(&'static str),
    /// There is an interface and no node: `ipmi_devintf` is not loaded.
    NoNode,
    /// The machine has a BMC by its firmware's tables, but no driver of its interface is loaded.
    NoDriver,
    /// No sign of a BMC.
    Nothing,
}

/// Looks at files; opens no device.
pub(super) fn look(roots: &HostRoots) -> Place {
    let nodes = || {
        NODES
            .into_iter()
            .filter_map(|node| Some((node, roots.char_device(node).ok()?)))
    };
    if let Some((node, _)) = nodes().find(|(_, number)| has_driver(roots, *number)) {
        return Place::Node(node);
    }
    if let Some((node, _)) = nodes().next() {
        return Place::Stale(node);
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

/// Whether ipmi_devintf has registered a device with that number in its class. Its number is another one after each start
/// (`register_chrdev` with 0, drivers/char/ipmi/ipmi_devintf.c), so that a node that is left over may be another driver's. Where
/// sysfs is not seen, nothing is known, and it shows when the node is opened.
fn has_driver(roots: &HostRoots, number: u64) -> bool {
    let sys = roots.sys();
    if !sys.join("class").is_dir() {
        return true;
    }
    let interfaces = std::fs::read_dir(sys.join("class/ipmi")).into_iter().flatten();
    let mut interfaces = interfaces.take(MAX_INTERFACES).flatten();
    interfaces.any(|interface| sysfs::number(&interface.path()) == Some(number))
}

impl Place {
    /// Why there is nothing to read.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Node(_) => "there is a device node",
            Self::Stale(_) => STALE,
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
            Self::Stale(_) | Self::NoDriver => Some(DRIVER),
        }
    }
}

/// Why a node without its driver is none, and what helps.
pub(super) const STALE: &str = "there is an IPMI device node, but no driver of an IPMI interface behind it";
pub(super) const DRIVER: &str =
    "on a machine with a BMC, `modprobe ipmi_si ipmi_devintf` (on some machines ipmi_ssif in place of ipmi_si)";

/// What helps where the node cannot be opened.
pub(super) const PERMISSION: &str = "run the agent as root or with CAP_DAC_READ_SEARCH, and let it open the device: \
     DeviceAllow=char-ipmidev of its unit, or deploy/kustomize/components/ipmi (privileged); ipmi.enabled = false if it \
     shall not";

/// Whether the error is one of missing permission.
pub(super) fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether the error, of the opening or the first call, says that no IPMI interface is behind the node: no driver has its number
/// (ENXIO), the interface is gone (ENODEV), or another driver has it, which does not know the call.
pub(super) fn is_stale(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    code.is_some_and(|code| [Errno::NXIO, Errno::NODEV, Errno::NOTTY, Errno::OPNOTSUPP, Errno::NOSYS].contains(&code))
}

/// The node as a path of this process.
pub(super) fn path(roots: &HostRoots, node: &str) -> PathBuf {
    roots.path(node)
}
