//! All devices that were watched at any time, by the index in records and events.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::device::Device;
use super::families::Family;

/// Stands for the commands and executables that have no series of their own, and for an unknown error.
pub(super) const OTHER: &str = "_OTHER";

/// Most commands that are cached; callers choose their numbers.
const MAX_COMMANDS: usize = 16_384;

/// Identity of a device in its series: its name and family. The same when the device is removed and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DeviceId(u32);

/// What a command of a device is.
#[derive(Debug, Default)]
pub(super) struct CommandInfo {
    pub(super) name: Arc<str>,
    /// Waits by design.
    pub(super) wait: bool,
    /// Its durations are a series of their own.
    pub(super) own_duration: bool,
    /// Where launches on input channels are frames: the channels below this number are inputs.
    pub(super) input_channels: Option<u32>,
}

/// Devices by index. An index is never reused for another device.
#[derive(Debug, Default)]
pub(super) struct DeviceTable {
    devices: Vec<(Device, DeviceId)>,
    ids: HashMap<(String, Family), DeviceId>,
    /// Devices that are not watched now, and since when.
    gone: HashMap<DeviceId, Instant>,
    commands: RefCell<Commands>,
}

/// By index of the device and command.
type Commands = HashMap<(u32, Option<u32>), Arc<CommandInfo>>;

impl DeviceTable {
    /// Adds the devices that are new. Returns the index of each, in the map's order.
    pub(super) fn add(&mut self, devices: &BTreeMap<u64, Device>) -> Vec<u32> {
        devices.values().map(|device| self.add_one(device)).collect()
    }

    /// Notes which of the devices are still there.
    pub(super) fn note_gone(&mut self, devices: &BTreeMap<u64, Device>, now: Instant) {
        let present: HashSet<DeviceId> = devices.values().filter_map(|device| self.id_of(device)).collect();
        for id in self.ids.values() {
            if present.contains(id) {
                self.gone.remove(id);
            } else {
                self.gone.entry(*id).or_insert(now);
            }
        }
    }

    /// Since when a device is not there any more.
    pub(super) fn gone_since(&self, id: DeviceId) -> Option<Instant> {
        self.gone.get(&id).copied()
    }

    fn add_one(&mut self, device: &Device) -> u32 {
        // These fields decide what a call means. The others may become known later.
        let same = |known: &Device| {
            (known.number, &known.name, known.family, &known.abi)
                == (device.number, &device.name, device.family, &device.abi)
        };
        if let Some(index) = self.devices.iter().position(|(known, _)| same(known)) {
            self.devices[index].0 = device.clone();
            return index as u32;
        }
        let next = DeviceId(self.ids.len() as u32);
        let id = *self.ids.entry((device.name.clone(), device.family)).or_insert(next);
        self.devices.push((device.clone(), id));
        self.devices.len() as u32 - 1
    }

    /// The device with an index.
    pub(super) fn device(&self, index: u32) -> Option<&Device> {
        self.devices.get(index as usize).map(|(device, _)| device)
    }

    /// The identity of the device with an index.
    pub(super) fn id(&self, index: u32) -> Option<DeviceId> {
        self.devices.get(index as usize).map(|(_, id)| *id)
    }

    /// The identity of a device that was added.
    pub(super) fn id_of(&self, device: &Device) -> Option<DeviceId> {
        self.ids.get(&(device.name.clone(), device.family)).copied()
    }

    /// The newest device of an identity.
    pub(super) fn newest(&self, id: DeviceId) -> Option<&Device> {
        let mut newest_first = self.devices.iter().rev();
        newest_first.find(|(_, other)| *other == id).map(|(device, _)| device)
    }

    /// What a command is to the device with an index; no command stands for all that have no series of their own.
    pub(super) fn command(&self, index: u32, command: Option<u32>) -> Arc<CommandInfo> {
        let mut commands = self.commands.borrow_mut();
        if commands.len() >= MAX_COMMANDS {
            commands.clear();
        }
        let cached = commands.entry((index, command));
        Arc::clone(cached.or_insert_with(|| Arc::new(self.describe(index, command))))
    }

    fn describe(&self, index: u32, command: Option<u32>) -> CommandInfo {
        let Some((device, command)) = self.device(index).zip(command) else {
            return CommandInfo {
                name: OTHER.into(),
                ..CommandInfo::default()
            };
        };
        let described = device.describe(command);
        let arguments = device.family.arguments;
        CommandInfo {
            wait: described.wait,
            own_duration: arguments.is_some_and(|one| one.own_durations.contains(&&*described.name)),
            input_channels: arguments.map(|one| (one.input_channels)(device.address.as_deref())),
            name: described.name.into(),
        }
    }
}
