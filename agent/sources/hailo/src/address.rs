//! Address and id of a Hailo device, the same for its monitor files and for its ioctls.

use std::path::Path;

use accelscope_core::device::Derivation;
use accelscope_core::host::sysfs;

/// PCI address, or `[integrated]`, of the device with this class directory in sysfs.
pub(super) fn address_of(path: &Path) -> Option<String> {
    let attribute = |name| sysfs::text(&path.join(name));
    // Since 5.3 `device_id` holds the address, and before that the PCI ids.
    let found = attribute("board_location").or_else(|| attribute("device_id").filter(|id| is_address(id)));
    let found = found.or_else(|| sysfs::link(&path.join("device")).filter(|name| is_address(name)));
    found.map(|found| address(&found))
}

/// Canonical form of an address: lower case, with its PCI domain.
pub(crate) fn address(written: &str) -> String {
    let written = written.trim().to_ascii_lowercase();
    if written.matches(':').count() == 1 && is_address(&format!("0000:{written}")) {
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

/// `hw.id` of a device that reports no serial number: the same after a reboot, another in each slot of each node.
pub fn hw_id(address: &str, machine_id: &str, node_name: &str) -> String {
    Derivation::Hailo.id(address, machine_id, node_name)
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
}
