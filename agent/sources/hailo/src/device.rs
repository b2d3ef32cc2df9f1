//! Hailo devices in sysfs. No device node is opened: the first open of one wakes the card.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use super::address::address_of;
use accelscope_core::host::{HostRoots, sysfs};

/// Classes of the drivers: `hailo_chardev` up to 5.2, then one for PCIe and one for the integrated device.
pub(super) const CLASSES: [&str; 3] = ["hailo_chardev", "hailo1x", "hailo1x_integrated"];

/// Most devices of a class that are read.
const MAX_DEVICES: usize = 256;

/// PCI ids of the accelerators that run the scheduler, and with it the monitor, on the card: Hailo-10H, Hailo-15L,
/// Hailo-12L.
const ON_CARD: [&str; 3] = ["1e60:45c4", "1e60:43a2", "1e60:26a2"];

/// PCI vendor id of Hailo.
const PCI_VENDOR: &str = "0x1e60";

/// One Hailo device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Device {
    /// PCI address or `[integrated]`.
    pub(super) address: String,
    /// Name in its class, e.g. `hailo0`.
    pub(super) name: String,
    /// Device number of its node.
    pub(super) number: Option<u64>,
    /// Kernel module that drives it.
    pub(super) module: Option<String>,
    pub(super) driver_version: Option<String>,
    /// Whether its scheduler runs on the card, so that the host never gets a monitor file.
    pub(super) monitored_on_card: bool,
}

/// Reads the devices, by address. A device that cannot be read is left out.
pub(super) fn scan(roots: &HostRoots) -> io::Result<BTreeMap<String, Device>> {
    let mut found = BTreeMap::new();
    for class in CLASSES {
        let entries = match std::fs::read_dir(roots.sys().join("class").join(class)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries.take(MAX_DEVICES) {
            let entry = entry?;
            if let Some(device) = read(roots, class, &entry.path(), &entry.file_name().to_string_lossy()) {
                found.insert(device.address.clone(), device);
            }
        }
    }
    Ok(found)
}

/// Numbers of their nodes.
pub(super) fn numbers<'a>(devices: impl IntoIterator<Item = &'a Device>) -> BTreeSet<u64> {
    devices.into_iter().filter_map(|device| device.number).collect()
}

fn read(roots: &HostRoots, class: &str, path: &Path, name: &str) -> Option<Device> {
    let Some(address) = address_of(path) else {
        tracing::debug!(path = %path.display(), "a Hailo device without an address is left out");
        return None;
    };
    let attribute = |name: &str| sysfs::text(&path.join(name));
    let modules = match class {
        "hailo1x" => &["hailo1x_pci"][..],
        "hailo1x_integrated" => &["hailo_integrated_nnc"],
        _ => &["hailo_pci", "hailo1x_pci", "hailo_integrated_nnc"],
    };
    let module = sysfs::module(roots, Some(path), Some(&address), modules.iter().copied());
    let on_card = attribute("device_id").is_some_and(|id| ON_CARD.contains(&id.to_ascii_lowercase().as_str()));
    Some(Device {
        name: name.to_owned(),
        number: sysfs::number(path),
        driver_version: module.as_ref().and_then(|module| sysfs::module_version(roots, module)),
        module,
        monitored_on_card: on_card || class == "hailo1x" || attribute("accelerator_type").as_deref() == Some("1"),
        address,
    })
}

/// PCI functions of the vendor to which no driver is bound.
pub(super) fn without_driver(roots: &HostRoots) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(roots.sys().join("bus/pci/devices")) else {
        return Vec::new();
    };
    let hailo = entries.flatten().filter(|entry| {
        let path = entry.path();
        sysfs::text(&path.join("vendor")).as_deref() == Some(PCI_VENDOR) && !path.join("driver").exists()
    });
    let mut found: Vec<_> = hailo
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Creates a device with these attributes in a host's sysfs.
    pub(crate) fn plant(root: &Path, class: &str, name: &str, attributes: &[(&str, &str)]) {
        let path = root.join("sys/class").join(class).join(name);
        std::fs::create_dir_all(&path).unwrap();
        for (name, value) in attributes {
            std::fs::write(path.join(name), value).unwrap();
        }
    }

    fn module(root: &Path, name: &str, version: &str) {
        let path = root.join("sys/module").join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("version"), format!("{version}\n")).unwrap();
    }

    #[test]
    fn every_generation_of_drivers_is_read() {
        let host = tempfile::tempdir().unwrap();
        let root = host.path();
        let old = [
            ("board_location", "0001:01:00.0"),
            ("device_id", "1e60:2864"),
            ("accelerator_type", "0"),
            ("dev", "511:0"),
        ];
        plant(root, "hailo_chardev", "hailo0", &old);
        let ten = [
            ("board_location", "0002:01:00.0"),
            ("device_id", "1e60:45c4"),
            ("accelerator_type", "1"),
        ];
        plant(root, "hailo_chardev", "hailo1", &ten);
        plant(
            root,
            "hailo1x",
            "h1x-0",
            &[("device_id", "0003:01:00.0"), ("dev", "510:0")],
        );
        plant(root, "hailo1x_integrated", "h1x", &[("device_id", "[integrated]")]);
        plant(root, "hailo_chardev", "hailo9", &[("device_id", "1e60:2864")]);
        module(root, "hailo_pci", "4.23.0");
        let found = scan(&HostRoots::new(root)).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|(address, device)| (address.as_str(), device.name.as_str()))
            .collect();
        let expected = [
            ("0001:01:00.0", "hailo0"),
            ("0002:01:00.0", "hailo1"),
            ("0003:01:00.0", "h1x-0"),
            ("[integrated]", "h1x"),
        ];
        assert_eq!(names, expected, "and the one without an address is left out");
        let on_card: Vec<_> = found.values().map(|device| device.monitored_on_card).collect();
        assert_eq!(on_card, [false, true, true, false]);
        assert_eq!(found["0001:01:00.0"].number, Some(rustix::fs::makedev(511, 0)));
        assert_eq!(found["0001:01:00.0"].driver_version.as_deref(), Some("4.23.0"));
        assert_eq!(found["0003:01:00.0"].module, None, "another module drives it");
    }

    #[test]
    fn of_two_loaded_modules_the_one_that_the_device_links_to_drives_it() {
        let host = tempfile::tempdir().unwrap();
        let root = host.path();
        plant(root, "hailo_chardev", "hailo0", &[("board_location", "0001:01:00.0")]);
        module(root, "hailo_pci", "4.23.0");
        module(root, "hailo1x_pci", "5.2.0");
        let version = || {
            scan(&HostRoots::new(root)).unwrap()["0001:01:00.0"]
                .driver_version
                .clone()
        };
        assert_eq!(version(), None);
        let driver = root.join("sys/bus/pci/devices/0001:01:00.0/driver");
        std::fs::create_dir_all(&driver).unwrap();
        std::os::unix::fs::symlink(root.join("sys/module/hailo1x_pci"), driver.join("module")).unwrap();
        assert_eq!(version().as_deref(), Some("5.2.0"));
    }

    #[test]
    fn a_host_without_hailo_has_no_devices() {
        let host = tempfile::tempdir().unwrap();
        assert!(scan(&HostRoots::new(host.path())).unwrap().is_empty());
        assert!(without_driver(&HostRoots::new(host.path())).is_empty());
    }
}
