//! Which device nodes there are, and whether their holders can be seen.

use std::collections::BTreeMap;
use std::time::Instant;

use super::commands::hailo::Line;
use super::{Device, Devices, Family, Holders, Settings, Told};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler::{Finding, Level};

/// Most names in one line.
const MOST_NAMES: usize = 8;

/// What can be said of the device nodes of this host and their holders, by looking anew. How calls are seen is said by
/// what attaches the hooks.
pub fn explain_devices(roots: &HostRoots, settings: &Settings) -> Vec<Finding> {
    let mut devices = Devices::quiet(roots.clone(), settings.extra.clone());
    devices.update(Instant::now());
    let mut found = Vec::new();
    let mut drivers = BTreeMap::<(Family, String), Vec<&Device>>::new();
    for device in devices.all().values() {
        drivers.entry((device.family, driver(device))).or_default().push(device);
    }
    for ((family, driver), devices) in drivers {
        let what = format!("{family}: {} ({driver})", names(&devices));
        found.push(match unknown_version(&devices) {
            Some(line) => Finding {
                level: Level::Warn,
                what: format!("{what}: this version is not known, and its calls are read as those of {line}"),
                remedy: Some("use a newer agent, or do not rely on names, bytes and frames of its calls".to_owned()),
            },
            None => Finding {
                level: Level::Ok,
                what,
                remedy: None,
            },
        });
    }
    if found.is_empty() {
        found.push(Finding {
            level: Level::Nothing,
            what: "no device node of an accelerator was found in /dev and /sys".to_owned(),
            remedy: Some(
                "load the driver; in a container mount the host's /dev and /sys below host.root; or name the node in \
                 ioctl.extra_devices"
                    .to_owned(),
            ),
        });
    }
    found.extend(devices.warnings().map(|(what, remedy)| Finding {
        level: Level::Warn,
        what: what.to_owned(),
        remedy: Some(remedy.to_owned()),
    }));
    found.extend(holders(roots, &devices));
    found
}

fn holders(roots: &HostRoots, devices: &Devices) -> Option<Finding> {
    if devices.all().is_empty() {
        return None;
    }
    let mut holders = Holders::new(roots);
    holders.watch(devices.all().keys().copied());
    if let Err(error) = holders.update(Told::ByNothing, None, Instant::now()) {
        return Some(Finding {
            level: Level::Warn,
            what: format!("who holds the devices is not seen: /proc cannot be read: {error}"),
            remedy: Some("mount the host's /proc below host.root".to_owned()),
        });
    }
    let hidden = holders.hidden();
    (hidden > 0).then(|| Finding {
        level: Level::Warn,
        what: format!("{hidden} processes may not be looked into: they may hold a device unseen"),
        remedy: Some("run the agent as root with CAP_SYS_PTRACE".to_owned()),
    })
}

fn driver(device: &Device) -> String {
    let name = device
        .module
        .as_deref()
        .or(device.abi.as_deref())
        .unwrap_or("driver not told");
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

/// The line that a version of Hailo's driver is taken for without being of it.
fn unknown_version(devices: &[&Device]) -> Option<Line> {
    let hailo = devices.iter().find(|device| device.family == Family::Hailo)?;
    match hailo.abi.as_deref().and_then(Line::of) {
        Some(matched) if matched.exact => None,
        matched => Some(matched.map_or(Line::NEWEST, |matched| matched.line)),
    }
}
