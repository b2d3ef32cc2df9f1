//! Ids of devices that have no serial number: the same after a reboot, others on each node.

use std::path::Path;

use accelscope_core::host::HostRoots;
use uuid::{Uuid, uuid};

/// Namespace of the ids. Random once; a change would give every sensor in the fleet a new id.
const SENSORS: Uuid = uuid!("2f6d3b52-1c0e-4a53-9c5e-7f0a4be0d6c9");

/// The node.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    machine_id: String,
    node_name: String,
}

impl Identity {
    pub(crate) fn new(roots: &HostRoots, node_name: &str) -> Self {
        Self {
            machine_id: roots.machine_id().unwrap_or_default(),
            node_name: node_name.to_owned(),
        }
    }

    /// `hw.id` of what is at this stable place in the node.
    pub(crate) fn hw_id(&self, place: &str) -> String {
        let name = format!("power\0{place}\0{}\0{}", self.machine_id, self.node_name);
        Uuid::new_v5(&SENSORS, name.as_bytes()).to_string()
    }
}

/// The path of a device below `/sys/devices` without what is numbered anew at each boot: the numbers of buses and classes
/// (`i2c-5`, `5-0048`, `nvme1`, `thermal_zone3`). Addresses of PCI, names of platform and ACPI devices stay.
pub(crate) fn stable(device: &Path) -> String {
    let parts = device.iter().map(|part| part.to_string_lossy());
    let below = parts.skip_while(|part| part != "devices").skip(1);
    below.map(|part| without_number(&part)).collect::<Vec<_>>().join("/")
}

fn without_number(part: &str) -> String {
    for class in ["i2c-", "nvme", "hwmon", "thermal_zone", "hidraw", "usb", "spi"] {
        if let Some(rest) = part.strip_prefix(class)
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_digit())
        {
            return format!("{class}#");
        }
    }
    match part.split_once('-') {
        // A device on an I2C bus: bus number and address.
        Some((bus, address))
            if !bus.is_empty()
                && bus.bytes().all(|byte| byte.is_ascii_digit())
                && address.len() == 4
                && address.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            format!("#-{address}")
        }
        _ => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_boot_numbers_anew_is_not_in_a_place() {
        let place = |path: &str| stable(Path::new(path));
        let bus = "/host/sys/devices/pci0000:00/0000:00:1f.4";
        assert_eq!(
            place(&format!("{bus}/i2c-5/5-0048")),
            place(&format!("{bus}/i2c-17/17-0048"))
        );
        assert_ne!(
            place(&format!("{bus}/i2c-5/5-0048")),
            place(&format!("{bus}/i2c-5/5-0049"))
        );
        assert_eq!(
            place("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme3"),
            "pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme#"
        );
        assert_eq!(place("/sys/devices/platform/coretemp.1"), "platform/coretemp.1");
    }

    #[test]
    fn an_id_is_that_of_one_place_on_one_node() {
        let node = |machine: &str, name: &str| Identity {
            machine_id: machine.into(),
            node_name: name.into(),
        };
        let id = node("m", "n").hw_id("place");
        assert_eq!(id, node("m", "n").hw_id("place"));
        for other in [
            node("m", "n").hw_id("x"),
            node("x", "n").hw_id("place"),
            node("m", "x").hw_id("place"),
        ] {
            assert_ne!(id, other);
        }
    }
}
