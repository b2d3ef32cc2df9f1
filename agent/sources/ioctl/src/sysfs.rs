//! What sysfs tells of a device.

use std::path::{Path, PathBuf};

use accelscope_core::host::HostRoots;
use accelscope_core::host::bounded::read_bounded;

/// Longest attribute that is read; sysfs gives at most a page.
const MOST_BYTES: usize = 4096;

/// The directory of a character device, where it has one: NVIDIA's have none.
pub(super) fn directory(roots: &HostRoots, number: u64) -> Option<PathBuf> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let path = roots.sys().join(format!("dev/char/{major}:{minor}"));
    path.is_dir().then_some(path)
}

/// A short attribute, without the newline that some lack.
pub(super) fn text(path: &Path) -> Option<String> {
    let bytes = read_bounded(path, MOST_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The last name of where a link leads, which is how sysfs tells a class, a driver or a module.
pub(super) fn link(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// `major:minor` as `st_rdev` has it.
pub(super) fn number(directory: &Path) -> Option<u64> {
    let text = text(&directory.join("dev"))?;
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// The address of the PCI function that a device belongs to.
pub(super) fn pci_address(directory: &Path) -> Option<String> {
    let name = link(&directory.join("device"))?;
    let is_address = name.split([':', '.']).count() == 4 && name.matches(':').count() == 2;
    is_address.then(|| name.to_ascii_lowercase())
}

/// The module of the driver of a PCI function.
pub(super) fn pci_module(roots: &HostRoots, address: &str) -> Option<String> {
    link(&roots.sys().join("bus/pci/devices").join(address).join("driver/module"))
}

/// Whether a module is loaded, or built in with parameters.
pub(super) fn has_module(roots: &HostRoots, module: &str) -> bool {
    roots.sys().join("module").join(module).is_dir()
}

/// A module's version, where it tells one.
pub(super) fn module_version(roots: &HostRoots, module: &str) -> Option<String> {
    text(&roots.sys().join("module").join(module).join("version"))
}

/// How many users of a module the kernel counts. What is built in is not counted.
pub(super) fn references(roots: &HostRoots, module: &str) -> Option<u64> {
    text(&roots.sys().join("module").join(module).join("refcnt"))?
        .parse()
        .ok()
}

/// PCI vendor of the devices of an IOMMU group (`/dev/vfio/<group>`).
pub(super) fn iommu_vendor(roots: &HostRoots, group: &str) -> Option<String> {
    let devices = roots.sys().join("kernel/iommu_groups").join(group).join("devices");
    let entries = std::fs::read_dir(devices).ok()?;
    entries
        .take(64)
        .flatten()
        .find_map(|entry| text(&entry.path().join("vendor")))
}

/// Whether the GPU of a display node has a render node too. Those without (a server's display chip) compute nothing.
pub(super) fn renders(directory: &Path) -> bool {
    let Ok(siblings) = std::fs::read_dir(directory.join("device/drm")) else {
        return true;
    };
    siblings
        .take(64)
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
}
