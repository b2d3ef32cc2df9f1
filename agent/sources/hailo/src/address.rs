//! What tells one Hailo device from another: for the sampler of its monitor files and for that of its calls alike.

use std::path::Path;

use uuid::{Uuid, uuid};

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

/// The one way of writing an address: lower case, with its PCI domain.
pub(crate) fn address(written: &str) -> String {
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

/// A short sysfs attribute, without the newline that some lack.
pub(crate) fn text(path: &Path) -> Option<String> {
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
