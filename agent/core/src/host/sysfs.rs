//! Attributes and links of devices and modules in sysfs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::HostRoots;
use super::bounded::read_bounded;

/// Limit in bytes of an attribute; sysfs returns at most a page.
const MAX_BYTES: usize = 4096;
/// Most PCI functions that are looked at.
const MAX_FUNCTIONS: usize = 4096;

/// Directory of a character device, if its driver registers one.
pub fn directory(roots: &HostRoots, number: u64) -> Option<PathBuf> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let path = roots.sys().join(format!("dev/char/{major}:{minor}"));
    path.is_dir().then_some(path)
}

/// A short attribute, without the newline that some lack.
pub fn text(path: &Path) -> Option<String> {
    let bytes = read_bounded(path, MAX_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Last name of a link's target: the name of a class, a driver or a module.
pub fn link(path: &Path) -> Option<String> {
    let target = std::fs::read_link(path).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

/// Attribute `dev` of a device's directory, `major:minor`, as `st_rdev`.
pub fn number(directory: &Path) -> Option<u64> {
    let text = text(&directory.join("dev"))?;
    let (major, minor) = text.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Address of the PCI function that a device belongs to.
pub fn pci_address(directory: &Path) -> Option<String> {
    let name = link(&directory.join("device"))?;
    let is_address = name.split([':', '.']).count() == 4 && name.matches(':').count() == 2;
    is_address.then(|| name.to_ascii_lowercase())
}

/// Directories of the PCI functions of a vendor (`0x10de`), sorted.
pub fn pci_functions(roots: &HostRoots, vendor: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(roots.sys().join("bus/pci/devices"));
    let paths = entries
        .into_iter()
        .flatten()
        .take(MAX_FUNCTIONS)
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|path| text(&path.join("vendor")).as_deref() == Some(vendor))
        .collect();
    found.sort();
    found
}

/// Name of the module that drives a device: by the link in the device's directory, else by that of the PCI function at
/// `address`, else the only loaded one of `candidates`.
pub fn module<'a>(
    roots: &HostRoots,
    directory: Option<&Path>,
    address: Option<&str>,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let of_device = directory.and_then(|path| link(&path.join("device/driver/module")));
    let pci_functions = roots.sys().join("bus/pci/devices");
    of_device
        .or_else(|| link(&pci_functions.join(address?).join("driver/module")))
        .or_else(|| {
            let is_loaded = |module: &&str| roots.sys().join("module").join(module).is_dir();
            let mut loaded = candidates.into_iter().filter(is_loaded);
            loaded.next().filter(|_| loaded.next().is_none()).map(ToOwned::to_owned)
        })
}

/// Version of a module that exports one.
pub fn module_version(roots: &HostRoots, module: &str) -> Option<String> {
    text(&roots.sys().join("module").join(module).join("version"))
}

/// Sum of the modules' reference counts, each module once: each open device node is one reference. `None` where a module
/// is unknown or built in, which has no count.
pub fn references<'a>(roots: &HostRoots, modules: impl IntoIterator<Item = Option<&'a str>>) -> Option<u64> {
    let modules: Option<BTreeSet<&str>> = modules.into_iter().collect();
    let count = |module: &str| {
        text(&roots.sys().join("module").join(module).join("refcnt"))?
            .parse::<u64>()
            .ok()
    };
    modules?.into_iter().map(count).sum()
}

/// PCI vendor of the devices of an IOMMU group (`/dev/vfio/<group>`).
pub fn iommu_vendor(roots: &HostRoots, group: &str) -> Option<String> {
    let devices = roots.sys().join("kernel/iommu_groups").join(group).join("devices");
    let entries = std::fs::read_dir(devices).ok()?;
    entries
        .take(64)
        .flatten()
        .find_map(|entry| text(&entry.path().join("vendor")))
}

/// Whether the GPU of a display node has a render node too. Those without (a server's display chip) compute nothing.
pub fn renders(directory: &Path) -> bool {
    let Ok(siblings) = std::fs::read_dir(directory.join("device/drm")) else {
        return true;
    };
    siblings
        .take(64)
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
}
