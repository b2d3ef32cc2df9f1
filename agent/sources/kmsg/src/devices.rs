//! Which PCI functions are accelerators, by vendor and class, and their `hw.id`s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::counts::Counts;
use crate::device::{Device, Devices};
use crate::pci::Pci;
use accelscope_core::device::Derivation;
use accelscope_core::host::{HostRoots, sysfs};

/// Most PCI functions that are looked at, and accelerators among them.
const MAX_FUNCTIONS: usize = 4096;
const MAX_DEVICES: usize = 256;
/// Limit in bytes of a file of NVIDIA's driver.
const MAX_BYTES: usize = 64 << 10;

const NVIDIA: u16 = 0x10de;
const AMD: u16 = 0x1002;
const INTEL: u16 = 0x8086;
const HAILO: u16 = 0x1e60;
/// Vendors of which every function is an accelerator: Hailo, Habana, Tenstorrent, FuriosaAI, Rebellions.
const ACCELERATORS_ONLY: [u16; 5] = [HAILO, 0x1da3, 0x1e52, 0x1ed2, 0x1eff];

/// Looks for accelerators. What other functions are is remembered by their addresses.
#[derive(Debug)]
pub(crate) struct Finder {
    roots: HostRoots,
    machine_id: String,
    node_name: String,
    others: BTreeSet<Pci>,
}

impl Finder {
    pub(crate) fn new(roots: HostRoots, node_name: String) -> Self {
        Self {
            machine_id: roots.machine_id().unwrap_or_default(),
            roots,
            node_name,
            others: BTreeSet::new(),
        }
    }

    /// Brings `devices` up to date. Those that have left the bus stay a while ([`Device::stays`]).
    pub(crate) fn update(&mut self, devices: &mut Devices, now: Instant) {
        let names = self
            .roots
            .names("/sys/bus/pci/devices", MAX_FUNCTIONS)
            .unwrap_or_default();
        let present: BTreeSet<Pci> = names.iter().filter_map(|name| Pci::parse(name)).collect();
        // Another function may be at the place of one that has left.
        let is_there = |pci: &Pci, device: &Device| present.contains(pci) && device.gone_since.is_none();
        devices.retain(|pci, device| is_there(pci, device) || device.stays(now));
        self.others.retain(|pci| present.contains(pci));
        for pci in present {
            if self.others.contains(&pci) {
                continue;
            }
            if let Some(device) = devices.get_mut(&pci) {
                if device.gone_since.is_some() {
                    self.take_back(device);
                } else {
                    self.refresh(device);
                }
            } else if devices.len() < MAX_DEVICES {
                match self.look(pci) {
                    Some(device) => drop(devices.insert(pci, device)),
                    None => drop(self.others.insert(pci)),
                }
            }
        }
        self.identify(devices);
    }

    fn look(&self, pci: Pci) -> Option<Device> {
        let directory = self.roots.sys().join("bus/pci/devices").join(pci.to_string());
        let number = |name: &str| {
            let text = sysfs::text(&directory.join(name))?;
            u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
        };
        let vendor = u16::try_from(number("vendor")?).ok()?;
        let hw_type = hw_type(vendor, number("class")?)?;
        let mut device = Device {
            pci,
            vendor,
            driver: None,
            id: "".into(),
            uuid: None,
            is_uuid_old: false,
            hw_type,
            counts: Counts::default(),
            gone_since: None,
        };
        self.refresh(&mut device);
        Some(device)
    }

    /// There is a function at the address of a device that had left: it goes on, or another one begins.
    fn take_back(&self, device: &mut Device) {
        let Some(found) = self.look(device.pci) else { return };
        let is_same = (found.vendor, found.hw_type) == (device.vendor, device.hw_type)
            && (found.uuid == device.uuid || found.uuid.is_none() || device.uuid.is_none());
        if is_same {
            // A driver does not know the UUID before the GPU was used.
            device.is_uuid_old = device.uuid.is_some() && found.uuid.is_none();
            device.uuid = found.uuid.or_else(|| device.uuid.take());
            device.driver = found.driver;
            device.gone_since = None;
        } else if !device.counts.is_unemitted() {
            *device = found;
        }
    }

    /// What may change: the driver, and with it the UUID.
    fn refresh(&self, device: &mut Device) {
        let directory = self.roots.sys().join("bus/pci/devices").join(device.pci.to_string());
        device.driver = sysfs::link(&directory.join("driver"));
        if (device.uuid.is_none() || device.is_uuid_old)
            && device.has_xids()
            && let Some(uuid) = uuid(&self.roots, device.pci)
        {
            (device.uuid, device.is_uuid_old) = (Some(uuid), false);
        }
    }

    /// Gives each device the `hw.id` that the source of its vendor gives it.
    fn identify(&self, devices: &mut Devices) {
        let mut uses: BTreeMap<String, usize> = BTreeMap::new();
        let is_there = |device: &&Device| device.gone_since.is_none();
        for uuid in devices
            .values()
            .filter(is_there)
            .filter_map(|device| device.uuid.clone())
        {
            *uses.entry(uuid).or_default() += 1;
        }
        for device in devices.values_mut().filter(|device| device.gone_since.is_none()) {
            let pci = device.pci;
            let derived = |derivation: Derivation, place: &str| derivation.id(place, &self.machine_id, &self.node_name);
            let id = match (&device.uuid, device.vendor) {
                // As `nvidia` tells GPUs apart that report the same UUID.
                (Some(uuid), _) if uses.get(uuid).is_some_and(|uses| *uses > 1) => format!("{uuid}@{pci}"),
                (Some(uuid), _) => uuid.clone(),
                (None, NVIDIA) => derived(Derivation::Nvidia, &format!("bus\0{pci}")),
                (None, HAILO) => derived(Derivation::Hailo, &pci.to_string()),
                (None, _) => derived(Derivation::Pci, &pci.to_string()),
            };
            // What was counted for the other id is emitted first.
            if *device.id != *id && !device.counts.is_unemitted() {
                device.id = Arc::from(id);
                // What was counted belongs to the series of the other id.
                device.counts.forget();
            }
        }
        hand_over(devices);
    }
}

/// A device that is at another address now goes on with what was counted at the one that it has left.
fn hand_over(devices: &mut Devices) {
    let by_id: BTreeMap<Arc<str>, Pci> = devices
        .values()
        .filter(|device| device.gone_since.is_none())
        .map(|device| (Arc::clone(&device.id), device.pci))
        .collect();
    let moved: Vec<(Pci, Pci)> = devices
        .values()
        .filter(|device| device.gone_since.is_some())
        .filter_map(|device| Some((device.pci, *by_id.get(&device.id)?)))
        .collect();
    for (from, to) in moved {
        if let Some(old) = devices.remove(&from)
            && let Some(new) = devices.get_mut(&to)
            && new.counts.is_empty()
        {
            new.counts = old.counts;
        }
    }
}

/// Value of `hw.type` of a function of this vendor and class (PCI Code and ID Assignment Specification 1.16); `None` if it is no
/// accelerator.
fn hw_type(vendor: u16, class: u32) -> Option<&'static str> {
    let (base, class) = (class >> 16, class >> 8);
    match (vendor, base, class) {
        // Display controllers; those of other vendors, as a server's management controller has, compute nothing.
        (NVIDIA | AMD | INTEL, 0x03, _) | (NVIDIA | AMD, 0x12, _) => Some("gpu"),
        // NVSwitch: a bridge of another kind.
        (NVIDIA, _, 0x0680) => Some("network"),
        // Processing accelerators.
        (_, 0x12, _) => Some("npu"),
        (vendor, _, _) if ACCELERATORS_ONLY.contains(&vendor) => Some("npu"),
        _ => None,
    }
}

/// UUID of the GPU; the driver does not know it before the GPU was used.
fn uuid(roots: &HostRoots, pci: Pci) -> Option<String> {
    let path = format!("/proc/driver/nvidia/gpus/{pci}/information");
    let text = String::from_utf8(roots.read(path, MAX_BYTES).ok()?).ok()?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut uuids = lines.filter(|(key, _)| key.trim() == "GPU UUID");
    let uuid = uuids.next()?.1.trim();
    (uuid.starts_with("GPU-") && !uuid.contains('?') && uuid.len() <= 64).then(|| uuid.to_owned())
}
