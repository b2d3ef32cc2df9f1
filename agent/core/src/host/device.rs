//! Identity of a device: its address, and an id for one without a serial number.

use std::path::Path;

use uuid::{Uuid, uuid};

use super::sysfs;

/// Attributes in which some drivers write the address: `board_location` in `hailo_pci` to 5.2, `device_id` in later
/// ones, where it held the PCI ids before.
const ATTRIBUTES: [&str; 2] = ["board_location", "device_id"];

/// PCI address, or `[integrated]`, of the device with this class directory in sysfs.
pub fn address_of(directory: &Path) -> Option<String> {
    let attributes = ATTRIBUTES.iter().filter_map(|name| sysfs::text(&directory.join(name)));
    let parent = || sysfs::link(&directory.join("device")).filter(|name| is_address(name));
    let found = attributes.into_iter().find(|text| is_address(text)).or_else(parent);
    found.map(|found| address(&found))
}

/// Canonical form of an address: lower case, with its PCI domain.
pub fn address(written: &str) -> String {
    let written = written.trim().to_ascii_lowercase();
    let domain = if written.matches(':').count() == 1 { "0000:" } else { "" };
    let whole = format!("{domain}{written}");
    if is_address(&whole) { whole } else { written }
}

fn is_address(text: &str) -> bool {
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split([':', '.']).collect();
    text == "[integrated]"
        || (parts.len() == 4 && parts.into_iter().all(hex) && text.matches(':').count() == 2 && text.contains('.'))
}

/// Namespace of the devices' ids. Random once; a change would give every device in the fleet a new id.
const DEVICES: Uuid = uuid!("8f1d2b0e-61f7-4c0a-9d43-1f0c7c2a55e1");

/// `hw.id` of a device that reports no serial number: the same after a reboot, another in each slot of each node.
pub fn hw_id(vendor: &str, address: &str, machine_id: &str, node_name: &str) -> String {
    let name = format!("{vendor}\0{address}\0{machine_id}\0{node_name}");
    Uuid::new_v5(&DEVICES, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_written_one_way() {
        assert_eq!(address("01:00.0"), "0000:01:00.0");
        assert_eq!(address("0001:0A:00.0\n"), "0001:0a:00.0");
        assert_eq!(address("[integrated]"), "[integrated]");
        assert_eq!(address("what:ever"), "what:ever");
    }

    #[test]
    fn an_id_is_stable_and_differs_by_slot_and_machine_and_node() {
        let id = hw_id("hailo", "0001:01:00.0", "m", "n");
        assert_eq!(id, hw_id("hailo", "0001:01:00.0", "m", "n"));
        for other in [
            hw_id("hailo", "0002:01:00.0", "m", "n"),
            hw_id("hailo", "0001:01:00.0", "x", "n"),
            hw_id("hailo", "0001:01:00.0", "m", "x"),
        ] {
            assert_ne!(id, other);
        }
    }
}
