//! Attributes of the points, made once.

use std::collections::HashMap;
use std::sync::Arc;

use nix::errno::Errno;

use super::device::Device;
use super::drain::{Name, OTHER};
use super::places::{Label, Places};
use accelscope_core::metric::{Attribute, Attributes, key};

/// Most attribute sets that are kept; callers choose their commands.
const MAX_SETS: usize = 32_768;

/// Values of `accel.io.direction`.
const DIRECTIONS: [&str; 2] = ["host_to_device", "device_to_host"];

/// The attribute sets of devices, commands, errors and directions.
#[derive(Debug, Default)]
pub(super) struct Labels {
    sets: HashMap<(Label, What), Arc<Attributes>>,
}

/// What a set says beside the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Nothing.
    Device,
    /// A command.
    Command(Name),
    /// A command that failed with this errno; 0 where it is not known.
    Failed(Name, u32),
    /// A direction: 0 to the device, 1 from it.
    Direction(usize),
}

impl Labels {
    /// The set, as long as the device has ever been seen.
    pub(super) fn get(&mut self, places: &Places, label: Label, what: What) -> Option<Arc<Attributes>> {
        if let Some(known) = self.sets.get(&(label, what.clone())) {
            return Some(known.clone());
        }
        let base = of_device(places.labelled(label)?);
        let more: Vec<Attribute> = match &what {
            What::Device => Vec::new(),
            What::Command(command) => vec![(key::ACCEL_IOCTL_COMMAND, command.clone().into())],
            What::Failed(command, errno) => vec![
                (key::ACCEL_IOCTL_COMMAND, command.clone().into()),
                (key::ERROR_TYPE, errno_name(*errno).into()),
            ],
            What::Direction(at) => vec![(key::ACCEL_IO_DIRECTION, DIRECTIONS[*at].into())],
        };
        if self.sets.len() >= MAX_SETS {
            self.sets.clear();
        }
        let made = Arc::new(Attributes::new(base.into_iter().chain(more)));
        self.sets.insert((label, what), made.clone());
        Some(made)
    }

    /// What was said of devices may no longer be so.
    pub(super) fn forget(&mut self) {
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

/// As in errno(3). What a driver returns and user space never sees is named as what user space sees.
fn errno_name(errno: u32) -> String {
    /// `ENOIOCTLCMD` of `include/linux/errno.h`, which ioctl(2) turns into `ENOTTY`.
    const ENOIOCTLCMD: u32 = 515;
    match errno {
        0 => OTHER.to_owned(),
        ENOIOCTLCMD => "ENOTTY".to_owned(),
        // The call is made again after a signal, or ends with EINTR.
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
