//! Hailo devices, as sysfs shows them. No device node is opened: the first open of one wakes the card.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use uuid::{Uuid, uuid};

use crate::host::HostRoots;

/// The drivers' classes: `hailo_chardev` up to 5.2, then one for PCIe and one for the integrated device.
const CLASSES: [&str; 3] = ["hailo_chardev", "hailo1x", "hailo1x_integrated"];

/// Most devices that are looked at.
const MAX_DEVICES: usize = 256;

/// Accelerators that run the scheduler, and with it the monitor, on the card: Hailo-10H, Hailo-15L, Hailo-12L.
const ON_CARD: [&str; 3] = ["1e60:45c4", "1e60:43a2", "1e60:26a2"];

/// PCI vendor id of Hailo.
pub(super) const PCI_VENDOR: &str = "0x1e60";

/// One Hailo device.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Device {
    /// PCI address or `[integrated]`.
    pub(super) address: String,
    /// As its driver names it, e.g. `hailo0`.
    pub(super) name: String,
    /// Device number of its node.
    pub(super) number: Option<u64>,
    pub(super) driver: Option<Driver>,
    /// Whether its scheduler runs on the card, so that the host never gets a monitor file.
    pub(super) monitored_on_card: bool,
}

/// A kernel module that drives Hailo devices.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Driver {
    pub(super) version: Option<String>,
    /// Where the kernel counts who uses it: each open device node is one.
    pub(super) references: PathBuf,
}

/// The devices by address. A device that cannot be read loses only itself.
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

fn read(roots: &HostRoots, class: &str, path: &Path, name: &str) -> Option<Device> {
    let attribute = |name: &str| text(&path.join(name));
    let id = attribute("device_id");
    let Some(address) = address_of(path) else {
        tracing::debug!(path = %path.display(), "a Hailo device without an address is left out");
        return None;
    };
    let on_card = id.is_some_and(|id| ON_CARD.contains(&id.to_ascii_lowercase().as_str()));
    Some(Device {
        name: name.to_owned(),
        number: attribute("dev").and_then(|dev| number(&dev)),
        driver: driver(roots, class, path, &address),
        monitored_on_card: on_card || class == "hailo1x" || attribute("accelerator_type").as_deref() == Some("1"),
        address,
    })
}

/// PCI address or `[integrated]` of the device whose class directory in sysfs this is, as [`hw_id`] takes it.
pub fn address_of(path: &Path) -> Option<String> {
    let attribute = |name: &str| text(&path.join(name));
    // From 5.3 on the address stands in `device_id`, where the PCI ids stood before.
    let found = attribute("board_location").or_else(|| attribute("device_id").filter(|id| is_address(id)));
    let found = found.or_else(|| {
        let link = std::fs::canonicalize(path.join("device")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned()).filter(|name| is_address(name))
    });
    found.map(|found| address(&found))
}

/// By the device's own link, else the one loaded module that makes such a class.
fn driver(roots: &HostRoots, class: &str, path: &Path, address: &str) -> Option<Driver> {
    let links = [
        path.join("device/driver/module"),
        roots.sys().join("bus/pci/devices").join(address).join("driver/module"),
    ];
    let modules = match class {
        "hailo1x" => &["hailo1x_pci"][..],
        "hailo1x_integrated" => &["hailo_integrated_nnc"],
        _ => &["hailo_pci", "hailo1x_pci", "hailo_integrated_nnc"],
    };
    let loaded: Vec<PathBuf> = modules
        .iter()
        .map(|module| roots.sys().join("module").join(module))
        .filter(|path| path.is_dir())
        .collect();
    let linked = links.into_iter().find(|link| link.is_dir());
    let module = linked.or_else(|| <[PathBuf; 1]>::try_from(loaded).ok().map(|[only]| only))?;
    Some(Driver {
        version: text(&module.join("version")),
        references: module.join("refcnt"),
    })
}

/// PCI functions of the vendor to which no driver is bound.
pub(super) fn without_driver(roots: &HostRoots) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(roots.sys().join("bus/pci/devices")) else {
        return Vec::new();
    };
    let hailo = entries.flatten().filter(|entry| {
        let path = entry.path();
        text(&path.join("vendor")).as_deref() == Some(PCI_VENDOR) && !path.join("driver").exists()
    });
    let mut found: Vec<_> = hailo
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    found
}

/// The one way of writing an address: lower case, with its PCI domain.
pub(super) fn address(written: &str) -> String {
    let written = written.trim().to_ascii_lowercase();
    if written.bytes().filter(|&byte| byte == b':').count() == 1 && is_address(&format!("0000:{written}")) {
        format!("0000:{written}")
    } else {
        written
    }
}

fn is_address(text: &str) -> bool {
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split([':', '.']).collect();
    text == "[integrated]"
        || (parts.len() == 4 && parts.into_iter().all(hex) && text.matches(':').count() == 2 && text.contains('.'))
}

/// `major:minor` as `st_rdev` has it.
fn number(dev: &str) -> Option<u64> {
    let (major, minor) = dev.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// A short sysfs attribute, without the newline that some lack.
pub(super) fn text(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(4096)
        .read_to_end(&mut bytes)
        .ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Namespace of the devices' ids. Random once; a change would give every device in the fleet a new id.
const DEVICES: Uuid = uuid!("8f1d2b0e-61f7-4c0a-9d43-1f0c7c2a55e1");

/// `hw.id` of a device that tells no serial number: the same after a reboot, another in each slot of each node.
pub fn hw_id(address: &str, machine_id: &str, node_name: &str) -> String {
    Uuid::new_v5(
        &DEVICES,
        format!("hailo\0{address}\0{machine_id}\0{node_name}").as_bytes(),
    )
    .to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A host whose sysfs shows a device with these attributes.
    pub(in crate::sampler::hailo) fn plant(root: &Path, class: &str, name: &str, attributes: &[(&str, &str)]) {
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
        let driver = found["0001:01:00.0"].driver.clone().unwrap();
        assert_eq!(driver.version.as_deref(), Some("4.23.0"));
        assert_eq!(found["0003:01:00.0"].driver, None, "another module drives it");
    }

    #[test]
    fn which_of_two_loaded_modules_drives_a_device_is_told_by_its_link_alone() {
        let host = tempfile::tempdir().unwrap();
        let root = host.path();
        plant(root, "hailo_chardev", "hailo0", &[("board_location", "0001:01:00.0")]);
        module(root, "hailo_pci", "4.23.0");
        module(root, "hailo1x_pci", "5.2.0");
        let version = || {
            scan(&HostRoots::new(root)).unwrap()["0001:01:00.0"]
                .driver
                .clone()?
                .version
        };
        assert_eq!(version(), None);
        let driver = root.join("sys/bus/pci/devices/0001:01:00.0/driver");
        std::fs::create_dir_all(&driver).unwrap();
        std::os::unix::fs::symlink(root.join("sys/module/hailo1x_pci"), driver.join("module")).unwrap();
        assert_eq!(version().as_deref(), Some("5.2.0"));
    }

    #[test]
    fn one_address_is_written_one_way() {
        assert_eq!(address("01:00.0"), "0000:01:00.0");
        assert_eq!(address("0001:0A:00.0\n"), "0001:0a:00.0");
        assert_eq!(address("[integrated]"), "[integrated]");
        assert_eq!(address("what:ever"), "what:ever");
    }

    #[test]
    fn an_id_is_stable_and_differs_by_slot_and_machine_and_node() {
        let id = hw_id("0001:01:00.0", "m", "n");
        assert_eq!(id, hw_id("0001:01:00.0", "m", "n"));
        for other in [
            hw_id("0002:01:00.0", "m", "n"),
            hw_id("0001:01:00.0", "x", "n"),
            hw_id("0001:01:00.0", "m", "x"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_host_without_hailo_has_no_devices() {
        let host = tempfile::tempdir().unwrap();
        assert!(scan(&HostRoots::new(host.path())).unwrap().is_empty());
        assert!(without_driver(&HostRoots::new(host.path())).is_empty());
    }
}
