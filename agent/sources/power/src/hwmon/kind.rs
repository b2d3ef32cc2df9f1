//! Which chips are read, and what they are of.

use std::path::{Path, PathBuf};

use accelscope_core::host::sysfs;

use crate::attribute;

/// Why a chip is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// It is an accelerator's or a GPU's: its own source shows it, and a reading would wake a suspended card.
    Accelerator,
    /// A thermal zone, a battery or RAPL, which is shown as such.
    Elsewhere,
    /// A reading keeps the disk from spinning down (Documentation/hwmon/drivetemp.rst).
    Disk,
    /// It has not answered.
    LeftAlone,
    /// It has no name, or is no chip.
    Nameless,
}

/// Chips and drivers of accelerators and GPUs, by the beginning of their names. Devices of the PCI classes below are too,
/// whatever their names.
const ACCELERATORS: &[&str] = &[
    "amdgpu",
    "apex",
    "ascend",
    "blackhole",
    "davinci",
    "devdrv",
    "furiosa",
    "grayskull",
    "habanalabs",
    "hailo",
    "i915",
    "intel_vpu",
    "nouveau",
    "nvidia",
    "qaic",
    "radeon",
    "rbln",
    "rebellions",
    "rngd",
    "tenstorrent",
    "warboy",
    "wormhole",
    "xe",
];

/// Names of which only the whole is meant: `xe` is no `xeon`.
const WHOLE: &[&str] = &["xe", "apex"];

/// PCI base classes: display controllers and processing accelerators (PCI Code and ID Assignment Specification 1.16).
const PCI_CLASSES: &[&str] = &["0x03", "0x12"];

/// What a chip's sensors are of (`hw.type` of power, energy and current), by the beginning of its name.
const TYPES: &[(&str, &str)] = &[
    ("coretemp", "cpu"),
    ("k10temp", "cpu"),
    ("k8temp", "cpu"),
    ("zenpower", "cpu"),
    ("amd_energy", "cpu"),
    ("fam15h_power", "cpu"),
    ("smpro", "cpu"),
    ("sbrmi", "cpu"),
    ("sbtsi", "cpu"),
    ("peci", "cpu"),
    ("jc42", "memory"),
    ("spd5118", "memory"),
    ("nvme", "physical_disk"),
    // ACPI 4.0 power meters and IBM's AEM measure the whole machine.
    ("power_meter", "enclosure"),
    ("aem", "enclosure"),
    ("corsairpsu", "power_supply"),
    ("cffps", "power_supply"),
    ("crps", "power_supply"),
    ("dps", "power_supply"),
    ("pfe", "power_supply"),
    ("fsp", "power_supply"),
];

/// A chip as it is before its sensors are looked at.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: String,
    /// Directory of its device, without links.
    pub(super) device: PathBuf,
    /// `hw.type`.
    pub(super) of: &'static str,
    /// Its power and energy are counted by RAPL.
    pub(super) in_rapl: bool,
    /// Directory of the PCI function that it is on.
    pub(super) function: Option<PathBuf>,
}

/// What the chip at this path of the class is.
pub(super) fn of(path: &Path) -> Result<Kind, Skip> {
    let name = sysfs::text(&path.join("name")).ok_or(Skip::Nameless)?;
    let own = std::fs::canonicalize(path).map_err(|_| Skip::Nameless)?;
    // A chip of no device has only itself.
    let device = std::fs::canonicalize(path.join("device")).unwrap_or_else(|_| own.clone());
    let driver = sysfs::link(&path.join("device/driver"));
    let function = device.ancestors().find(|above| is_pci(above)).map(Path::to_owned);
    let class = function
        .as_ref()
        .and_then(|function| sysfs::text(&function.join("class")));
    let is_accelerator = is_accelerators(&name)
        || driver.is_some_and(|driver| is_accelerators(&driver))
        || class.is_some_and(|class| PCI_CLASSES.iter().any(|known| class.starts_with(known)));
    if is_accelerator {
        return Err(Skip::Accelerator);
    }
    if name == "drivetemp" {
        return Err(Skip::Disk);
    }
    let above = |directory: &Path| directory.parent()?.file_name()?.to_str().map(str::to_owned);
    let is_zone = device
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"thermal_zone"));
    // The counters of amd_energy (Linux 5.8 to 5.12) are those of RAPL, and the powers of zenpower and fam15h_power are in it.
    let has_rapl = path.parent().and_then(Path::parent).is_some_and(has_rapl);
    let is_rapl = name == "amd_energy" && has_rapl;
    if is_zone || is_rapl || above(&device).as_deref() == Some("power_supply") {
        return Err(Skip::Elsewhere);
    }
    let of = TYPES.iter().find(|(known, _)| name.starts_with(known));
    let is_network = || {
        function
            .as_ref()
            .and_then(|function| sysfs::text(&function.join("class")))
            .is_some_and(|class| class.starts_with("0x02"))
    };
    let of = of.map_or_else(|| if is_network() { "network" } else { "board" }, |(_, of)| *of);
    Ok(Kind {
        name,
        device,
        of,
        in_rapl: of == "cpu" && has_rapl,
        function,
    })
}

/// Whether a package's energy is counted, by whichever driver.
fn has_rapl(classes: &Path) -> bool {
    let zones = ["intel-rapl:0", "intel-rapl-tpmi:0", "intel-rapl-mmio:0"].into_iter();
    let energies = zones.map(|zone| classes.join("powercap").join(zone).join("energy_uj"));
    let mut values = energies.filter_map(|energy| attribute::once(energy).ok().flatten());
    values.any(|raw| raw > 0)
}

fn is_accelerators(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is = |known: &&str| {
        if WHOLE.contains(known) {
            name == **known
        } else {
            name.starts_with(*known)
        }
    };
    ACCELERATORS.iter().any(is)
}

/// Whether the directory is that of a PCI function: `0000:01:00.0`.
fn is_pci(directory: &Path) -> bool {
    let Some(name) = directory.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let parts: Vec<&str> = name.split([':', '.']).collect();
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 4 && parts.iter().all(is_hex) && name.matches(':').count() == 2
}
