//! Which BMC it is, and the ids of what it measures.

use accelscope_core::host::{HostRoots, sysfs};
use uuid::{Uuid, Variant, uuid};

use crate::bmc::{Bmc, CallError, Channel, Command};
use crate::sdr::Record;

const APP: u8 = 0x06;
const GET_DEVICE_ID: u8 = 0x01;
const GET_DEVICE_GUID: u8 = 0x08;
const GET_SYSTEM_GUID: u8 = 0x37;

/// Namespace of the ids that are made here. Random once; a change would give every server in the fleet a new id.
const SERVERS: Uuid = uuid!("5a0e3c0b-9a52-4f0e-8f0c-6f2d4a1b7c93");

/// What the BMC tells of itself: IPMI 2.0, Get Device ID (20.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Version of the firmware, e.g. `2.35`.
    pub(crate) firmware: String,
    /// Version of IPMI, e.g. `2.0`.
    pub(crate) version: String,
    pub(crate) manufacturer: u32,
    pub(crate) product: u16,
}

/// What tells one machine from another where the BMC does not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    id: String,
    node: String,
    /// Product name of the firmware's tables (SMBIOS).
    model: Option<String>,
}

impl Machine {
    pub(crate) fn new(roots: &HostRoots, node: String) -> Self {
        Self {
            id: roots.machine_id().unwrap_or_default(),
            node,
            model: sysfs::text(&roots.sys().join("class/dmi/id/product_name")),
        }
    }
}

/// The server, as its series name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) hw_id: String,
    pub(crate) model: Option<String>,
    pub(crate) device: Device,
}

impl Identity {
    /// Asks the BMC. One without a GUID of its own gets an id of machine and node.
    pub(crate) fn ask<C: Channel>(bmc: &mut Bmc<C>, machine: &Machine) -> Result<Self, CallError> {
        let device = device(&bmc.call(Command::new(APP, GET_DEVICE_ID, &[]))?).ok_or(CallError::Malformed)?;
        let mut guid = None;
        for command in [GET_SYSTEM_GUID, GET_DEVICE_GUID] {
            match bmc.call(Command::new(APP, command, &[])) {
                Ok(data) => guid = guid.or_else(|| self::guid(&data)),
                Err(CallError::Refused(_) | CallError::Malformed) => {}
                Err(error) => return Err(error),
            }
            if guid.is_some() {
                break;
            }
        }
        let hw_id = guid.unwrap_or_else(|| {
            let name = format!("ipmi\0{}\0{}", machine.id, machine.node);
            Uuid::new_v5(&SERVERS, name.as_bytes())
        });
        Ok(Self {
            hw_id: hw_id.to_string(),
            model: machine.model.clone(),
            device,
        })
    }

    /// `hw.id` of a sensor: its key (owner, LUN, number) and its name, so that one that gets the number of another after an
    /// update of the BMC's firmware is another series.
    pub(crate) fn sensor(&self, record: &Record) -> String {
        let (crate::bmc::Target::Bmc { lun } | crate::bmc::Target::Ipmb { lun, .. }) = record.target;
        let (owner, number) = (record.owner, record.number);
        format!("{}/{owner:02x}.{lun}.{number:02x}/{}", self.hw_id, record.name)
    }
}

fn device(data: &[u8]) -> Option<Device> {
    let [_id, _revision, major, minor, version, _support, m0, m1, m2, p0, p1, ..] = data else {
        return None;
    };
    Some(Device {
        // The minor version is BCD.
        firmware: format!("{}.{minor:02x}", major & 0x7f),
        version: format!("{}.{}", version & 0xf, version >> 4),
        manufacturer: u32::from_le_bytes([*m0, *m1, m2 & 0xf, 0]),
        product: u16::from_le_bytes([*p0, *p1]),
    })
}

/// The GUID. The specification has its last byte first (20.8); other BMCs send it as RFC 9562 writes it (QEMU's does), or
/// as SMBIOS has it, with the first three fields the other way round. The order in which it is a UUID of time or chance
/// (versions 1 and 4) is taken, so that it is the one that the machine's label and firmware show. Boards that were not given
/// one have the same byte throughout, spaces too.
fn guid(data: &[u8]) -> Option<Uuid> {
    let bytes: [u8; 16] = *data.first_chunk()?;
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return None;
    }
    let mut turned = bytes;
    turned.reverse();
    let specified = Uuid::from_bytes(turned);
    let is_valid = |uuid: &Uuid| matches!(uuid.get_version_num(), 1 | 4) && uuid.get_variant() == Variant::RFC4122;
    let mut orders = [specified, Uuid::from_bytes(bytes), Uuid::from_bytes_le(bytes)].into_iter();
    Some(orders.find(is_valid).unwrap_or(specified))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bmc_tells_its_firmware_and_its_maker() {
        let data = [
            0x20, 0x81, 0x02, 0x35, 0x02, 0xbf, 0xa2, 0x02, 0x00, 0x00, 0x01, 0, 0, 0, 0,
        ];
        let device = device(&data).unwrap();
        assert_eq!((device.firmware.as_str(), device.version.as_str()), ("2.35", "2.0"));
        assert_eq!((device.manufacturer, device.product), (674, 256));
        assert_eq!(super::device(&data[..10]), None);
    }

    #[test]
    fn a_guid_that_all_boards_have_is_none() {
        let mut data: Vec<u8> = (0..16).collect();
        assert_eq!(guid(&data).unwrap().to_string(), "0f0e0d0c-0b0a-0908-0706-050403020100");
        assert_eq!(guid(&data[..15]), None);
        for byte in [0, 0xff, b' '] {
            data.fill(byte);
            assert_eq!(guid(&data), None);
        }
    }

    #[test]
    fn a_uuid_is_the_same_in_whatever_order_its_bytes_come() {
        let uuid = uuid!("6f1c2f52-8d0b-4c58-9c0e-3a2f7f1b9d10");
        let mut turned = *uuid.as_bytes();
        turned.reverse();
        for bytes in [turned, *uuid.as_bytes(), uuid.to_bytes_le()] {
            assert_eq!(guid(&bytes), Some(uuid));
        }
    }
}
