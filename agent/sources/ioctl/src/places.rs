//! The numbers that keys and events carry for devices, and what their commands are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::device::Device;
use super::drain::{Name, OTHER, is_fold};
use super::families::Family;
use accelscope_hailo_abi::layout::{HOST_TO_DEVICE_INTEGRATED, HOST_TO_DEVICE_PCIE};

/// Commands of Hailo whose durations have series of their own: the launch of a transfer, and the wait for interrupts.
const OWN_SERIES: &[&str] = &["VDMA_LAUNCH_TRANSFER", "VDMA_INTERRUPTS_WAIT", "VDMA_CHANNEL_WAIT_INT"];

/// Most commands that are remembered; callers choose their numbers.
const MAX_COMMANDS: usize = 16_384;

/// A device's name and family, the same whenever it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Label(u32);

/// What a command is.
#[derive(Debug)]
pub(super) struct CommandInfo {
    pub(super) name: Name,
    /// It waits by design.
    pub(super) wait: bool,
    /// Its durations have a series of their own.
    pub(super) own_series: bool,
    /// Its launches are frames.
    pub(super) frames: bool,
    /// Channels below this carry data to the device.
    pub(super) inputs: u32,
}

/// Every device that was ever watched, at its place. A place is never given to another device.
#[derive(Debug, Default)]
pub(super) struct Places {
    devices: Vec<(Device, Label)>,
    labels: HashMap<(String, Family), Label>,
    commands: Mutex<HashMap<(u32, u32), Arc<CommandInfo>>>,
}

impl Places {
    /// The places of these devices.
    pub(super) fn take(&mut self, devices: &BTreeMap<u64, Device>) -> Vec<u32> {
        devices.values().map(|device| self.place(device)).collect()
    }

    fn place(&mut self, device: &Device) -> u32 {
        // What decides what its calls mean; the rest may become known later.
        let same = |known: &Device| {
            (known.number, &known.name, known.family, &known.abi)
                == (device.number, &device.name, device.family, &device.abi)
        };
        if let Some(at) = self.devices.iter().position(|(known, _)| same(known)) {
            self.devices[at].0 = device.clone();
            return at as u32;
        }
        let next = Label(self.labels.len() as u32);
        let label = *self.labels.entry((device.name.clone(), device.family)).or_insert(next);
        self.devices.push((device.clone(), label));
        self.devices.len() as u32 - 1
    }

    /// The device at a place.
    pub(super) fn device(&self, place: u32) -> Option<&Device> {
        self.devices.get(place as usize).map(|(device, _)| device)
    }

    /// The label of the device at a place.
    pub(super) fn label(&self, place: u32) -> Option<Label> {
        self.devices.get(place as usize).map(|(_, label)| *label)
    }

    /// The newest device of that label.
    pub(super) fn labelled(&self, label: Label) -> Option<&Device> {
        self.devices
            .iter()
            .rev()
            .find(|(_, one)| *one == label)
            .map(|(device, _)| device)
    }

    /// What a command is to the device at a place.
    pub(super) fn command(&self, place: u32, command: u32) -> Arc<CommandInfo> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if commands.len() >= MAX_COMMANDS {
            commands.clear();
        }
        let known = commands.entry((place, command));
        Arc::clone(known.or_insert_with(|| Arc::new(self.describe(place, command))))
    }

    fn describe(&self, place: u32, command: u32) -> CommandInfo {
        let device = self.device(place).filter(|_| !is_fold(command));
        let Some(device) = device else {
            return CommandInfo {
                name: OTHER.into(),
                wait: false,
                own_series: false,
                frames: false,
                inputs: 0,
            };
        };
        let described = device.describe(command);
        let is_hailo = device.family.name == "hailo";
        let is_integrated = device.address.as_deref() == Some("[integrated]");
        CommandInfo {
            own_series: is_hailo && OWN_SERIES.contains(&&*described.name),
            frames: is_hailo,
            inputs: if is_integrated {
                HOST_TO_DEVICE_INTEGRATED
            } else {
                HOST_TO_DEVICE_PCIE
            }
            .into(),
            wait: described.wait,
            name: described.name.into(),
        }
    }
}
