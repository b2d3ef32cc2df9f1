//! Attribute sets of the points, shared between readings.

use std::collections::HashMap;
use std::sync::Arc;

use nix::errno::Errno;

use super::device::Device;
use super::device_table::{DeviceId, DeviceTable, OTHER};
use accelscope_core::metric::{Attribute, Attributes, key};

/// Most attribute sets that are kept; callers choose their commands.
const MAX_SETS: usize = 32_768;

/// Values of `accel.io.direction`.
const DIRECTIONS: [&str; 2] = ["host_to_device", "device_to_host"];

/// The attribute sets of devices.
#[derive(Debug, Default)]
pub(super) struct AttributeCache {
    sets: HashMap<(DeviceId, Detail), Arc<Attributes>>,
}

/// What a set has beside the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Detail {
    /// Nothing.
    Device,
    /// A command.
    Command(Arc<str>),
    /// A command that failed with this errno; 0 where it is not known.
    Failed(Arc<str>, u32),
    /// A direction: 0 to the device, 1 from it.
    Direction(usize),
}

impl AttributeCache {
    /// The set; none for a device that is not in the table.
    pub(super) fn get(&mut self, devices: &DeviceTable, id: DeviceId, detail: Detail) -> Option<Arc<Attributes>> {
        let key = (id, detail);
        if let Some(cached) = self.sets.get(&key) {
            return Some(cached.clone());
        }
        let base = of_device(devices.newest(id)?);
        let more: Vec<Attribute> = match &key.1 {
            Detail::Device => Vec::new(),
            Detail::Command(command) => vec![(key::ACCEL_IOCTL_COMMAND, command.clone().into())],
            Detail::Failed(command, errno) => vec![
                (key::ACCEL_IOCTL_COMMAND, command.clone().into()),
                (key::ERROR_TYPE, errno_name(*errno).into()),
            ],
            Detail::Direction(at) => vec![(key::ACCEL_IO_DIRECTION, DIRECTIONS[*at].into())],
        };
        if self.sets.len() >= MAX_SETS {
            self.sets.clear();
        }
        let made = Arc::new(Attributes::new(base.into_iter().chain(more)));
        self.sets.insert(key, made.clone());
        Some(made)
    }

    /// To be called when devices have changed.
    pub(super) fn clear(&mut self) {
        self.sets.clear();
    }
}

fn of_device(device: &Device) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = vec![
        (key::ACCEL_DEVICE_NAME, device.name.as_str().into()),
        (key::ACCEL_DEVICE_FAMILY, device.family.name.into()),
    ];
    attributes.extend(device.hw_id.as_deref().map(|id| (key::HW_ID, id.into())));
    attributes
}

/// The name in errno(3). An error that only drivers return is named as the one that user space gets for it.
fn errno_name(errno: u32) -> String {
    /// `ENOIOCTLCMD` of `include/linux/errno.h`, which ioctl(2) turns into `ENOTTY`.
    const ENOIOCTLCMD: u32 = 515;
    match errno {
        0 => OTHER.to_owned(),
        ENOIOCTLCMD => "ENOTTY".to_owned(),
        // `ERESTARTSYS` and so on: the call is restarted after a signal, or ends with EINTR.
        512..=516 => "EINTR".to_owned(),
        _ => match Errno::from_raw(errno as i32) {
            Errno::UnknownErrno => errno.to_string(),
            known => format!("{known:?}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_that_programs_use() {
        let names = [25, 22, 4, 11, 515, 512, 4000, 0].map(errno_name);
        assert_eq!(
            names,
            [
                "ENOTTY", "EINVAL", "EINTR", "EAGAIN", "ENOTTY", "EINTR", "4000", "_OTHER"
            ]
        );
    }
}
