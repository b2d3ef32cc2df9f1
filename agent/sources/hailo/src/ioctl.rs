//! Device nodes of Hailo's driver and their ioctls (github.com/hailo-ai/hailort-drivers 4.17 to 5.3).

use std::path::Path;

use accelscope_core::device::{
    Abi, Arguments, Command, Commands, DeviceFamily, HookRow, Identity, NodeKind, Pattern, Requires, Versions, source,
};
use accelscope_hailo_abi::layout::{HOST_TO_DEVICE_INTEGRATED, HOST_TO_DEVICE_PCIE};
use accelscope_hailo_abi::{Line, waits};

use super::address::{address_of, hw_id};
use super::device::CLASSES;
use super::ioctl_catalogue;

/// Hailo's NPUs, on PCIe and integrated.
pub static FAMILY: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &CLASSES,
        drivers: &["hailo", "hailo1x", "hailo_integrated_nnc"],
        nodes: &["hailo#", "h1x-#", "h1x", "hailo_integrated_nnc"],
        requires: Requires::Nothing,
    }],
    hooks: &[
        HookRow {
            names: &["hailo_integrated_nnc", "h1x"],
            driver: "",
            hooks: &[source(
                "hailo_integrated_nnc",
                "hailo_integrated_nnc_fops_unlockedioctl",
            )],
        },
        HookRow {
            names: &["*"],
            driver: "",
            hooks: &[
                source("hailo_pci", "hailo_pcie_fops_unlockedioctl"),
                source("hailo1x_pci", "hailo_pcie_fops_unlockedioctl"),
            ],
        },
    ],
    abi: Abi::DriverVersion(Versions {
        fault: version_fault,
        substitute,
    }),
    commands: Commands::Versioned { describe, waiting },
    identity: Some(Identity {
        address: |directory: &Path| address_of(directory),
        hw_id,
    }),
    arguments: Some(&ARGUMENTS),
    ..DeviceFamily::named("hailo")
};

static ARGUMENTS: Arguments = Arguments {
    transfers: &ioctl_catalogue::TRANSFERS,
    io: &ioctl_catalogue::IO,
    frames: &ioctl_catalogue::FRAMES,
    switches: &ioctl_catalogue::SWITCHES,
    owner: &ioctl_catalogue::OWNER,
    // The launch of a transfer, and the wait for interrupts.
    own_durations: &["VDMA_LAUNCH_TRANSFER", "VDMA_INTERRUPTS_WAIT", "VDMA_CHANNEL_WAIT_INT"],
    input_channels,
};

fn input_channels(address: Option<&str>) -> u32 {
    let inputs = match address {
        Some("[integrated]") => HOST_TO_DEVICE_INTEGRATED,
        _ => HOST_TO_DEVICE_PCIE,
    };
    inputs.into()
}

/// The line of versions that a version is of, or is taken for; the newest where none is known.
fn line(version: Option<&str>) -> Line {
    version.and_then(Line::of).map_or(Line::NEWEST, |matched| matched.line)
}

fn describe(version: Option<&str>, command: u32) -> Option<Command> {
    let name = line(version).name(command)?;
    Some(Command {
        name: name.into(),
        wait: waits(name),
    })
}

fn waiting(version: Option<&str>) -> Vec<Pattern> {
    let commands = line(version).commands();
    commands
        .filter(|(name, _)| waits(name))
        .map(|(_, value)| Pattern { mask: u32::MAX, value })
        .collect()
}

fn version_fault(version: &str) -> Option<String> {
    Line::of(version).is_none().then(|| {
        format!(
            "{version:?} is no version of Hailo's driver; write it as /sys/module/hailo_pci/version has it, such as \
             hailo@4.20.0"
        )
    })
}

fn substitute(version: Option<&str>) -> Option<String> {
    match version.and_then(Line::of) {
        Some(matched) if matched.exact => None,
        _ => Some(line(version).to_string()),
    }
}
