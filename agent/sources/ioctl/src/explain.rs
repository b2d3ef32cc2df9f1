//! What `doctor` reports of device nodes and their holders.

use std::collections::BTreeMap;
use std::time::Instant;

use super::sampler::NAME;
use super::{Configuration, Device, Devices, Discovery, Family, Holders};
use accelscope_core::host::{HostRoots, user_namespace};
use accelscope_core::sampler::Finding;
use accelscope_core::source::Context;

/// Most names in one line.
const MOST_NAMES: usize = 8;

/// Scans for the host's device nodes and their holders. How calls are seen is reported by
/// [`explain_hooks`](super::kernel::explain_hooks).
pub fn explain_devices(configuration: &Configuration, context: &Context) -> Vec<Finding> {
    let mut devices = Devices::quiet(configuration, context);
    devices.update(Instant::now());
    let mut found = of_devices(&devices);
    found.extend(holders(&context.roots, &devices));
    found
}

/// The device nodes.
pub(super) fn of_devices(devices: &Devices) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut drivers = BTreeMap::<(Family, String), Vec<&Device>>::new();
    for device in devices.all().values() {
        drivers.entry((device.family, driver(device))).or_default().push(device);
    }
    for ((family, driver), devices) in drivers {
        let what = format!("{family}: {} ({driver})", names(&devices));
        found.push(match devices.iter().find_map(|device| device.assumed_version()) {
            Some(assumed) => Finding::warn(
                NAME,
                format!("{what}: this version is not known, and its calls are read as those of {assumed}"),
            )
            .with_remedy("use a newer agent, or do not rely on names, bytes and frames of its calls"),
            None => Finding::ok(NAME, what),
        });
    }
    if found.is_empty() {
        let what = "no device node of an accelerator was found in /dev and /sys";
        found.push(Finding::nothing(NAME, what).with_remedy(
            "load the driver; in a container mount the host's /dev and /sys below host.root; or name the node in \
             ioctl.extra_devices",
        ));
    }
    found.extend(devices.warnings().iter().cloned());
    found
}

fn holders(roots: &HostRoots, devices: &Devices) -> Option<Finding> {
    if devices.all().is_empty() {
        return None;
    }
    let mut holders = Holders::new(roots);
    holders.watch(devices.all().keys().copied());
    if let Err(error) = holders.update(Discovery::Walks, None, Instant::now()) {
        let what = format!("who holds the devices is not seen: /proc cannot be read: {error}");
        return Some(Finding::warn(NAME, what).with_remedy("mount the host's /proc below host.root"));
    }
    of_hidden(holders.hidden())
}

/// The processes whose descriptors may not be read.
pub(super) fn of_hidden(hidden: usize) -> Option<Finding> {
    (hidden > 0).then(|| {
        let what = format!("{hidden} processes may not be looked into: they may hold a device unseen");
        Finding::warn(NAME, what).with_remedy(if user_namespace::is_own() {
            user_namespace::REMEDY
        } else {
            "run the agent as root with CAP_SYS_PTRACE"
        })
    })
}

fn driver(device: &Device) -> String {
    let name = device
        .module
        .as_deref()
        .or(device.abi.as_deref())
        .unwrap_or("driver unknown");
    match &device.driver_version {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    }
}

fn names(devices: &[&Device]) -> String {
    let shown: Vec<&str> = devices
        .iter()
        .take(MOST_NAMES)
        .map(|device| device.name.as_str())
        .collect();
    let more = devices.len().saturating_sub(MOST_NAMES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}
