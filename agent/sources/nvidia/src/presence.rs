//! Presence of an NVIDIA driver or GPUs: without them no worker is started.

use std::path::PathBuf;

use super::nvml::Pci;
use accelscope_core::host::{HostRoots, sysfs};

/// Limit in bytes of files in `/proc` and `/sys`.
const MOST_BYTES: usize = 64 << 10;
/// Limit of devices on the bus, and of GPUs.
const MOST_DEVICES: usize = 4096;

/// Hardware and driver that the host shows without a call of the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// The kernel driver is loaded.
    Driver,
    /// There are GPUs on the bus, but no driver of NVIDIA's is loaded for them.
    Bus(usize),
    /// Nothing.
    Nothing,
}

/// Detects the driver, else the GPUs.
pub(super) fn look(roots: &HostRoots) -> Presence {
    let driver = ["/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg"];
    if driver.iter().any(|path| roots.path(path).exists()) {
        return Presence::Driver;
    }
    match boards(roots) {
        0 => Presence::Nothing,
        count => Presence::Bus(count),
    }
}

/// GPUs of vendor 0x10de on the bus: display controllers (class 03) and processing accelerators (class 12).
fn boards(roots: &HostRoots) -> usize {
    let is_gpu = |path: &&PathBuf| {
        let class = sysfs::text(&path.join("class")).unwrap_or_default();
        class.starts_with("0x03") || class.starts_with("0x12")
    };
    let functions = sysfs::pci_functions(roots, "0x10de");
    functions.iter().filter(is_gpu).count()
}

/// Version of the kernel driver from its own file, e.g. `580.95.05`.
pub(super) fn driver_version(roots: &HostRoots) -> Option<String> {
    let bytes = roots.read("/proc/driver/nvidia/version", MOST_BYTES).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| word.contains('.') && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

/// A GPU in the kernel driver's list, which includes lost ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) uuid: String,
    pub(super) address: Option<Pci>,
    pub(super) model: Option<String>,
    pub(super) minor: Option<u32>,
}

/// All GPUs in `/proc/driver/nvidia/gpus/<address>/information`.
pub(super) fn listed(roots: &HostRoots) -> Vec<Listed> {
    let names = roots
        .names("/proc/driver/nvidia/gpus", MOST_DEVICES)
        .unwrap_or_default();
    let one = |name: &String| {
        let bytes = roots
            .read(format!("/proc/driver/nvidia/gpus/{name}/information"), MOST_BYTES)
            .ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key))
                .map(|(_, value)| value.trim().to_owned())
        };
        // An excluded GPU is unused on purpose; an unknown UUID contains question marks.
        let uuid = field("GPU UUID").filter(|uuid| uuid.starts_with("GPU-") && !uuid.contains('?'))?;
        (field("GPU Excluded").as_deref() != Some("Yes")).then(|| Listed {
            uuid,
            address: Pci::parse(name),
            model: field("Model").filter(|model| !model.is_empty()),
            minor: field("Device Minor").and_then(|minor| minor.parse().ok()),
        })
    };
    let mut all: Vec<Listed> = names.iter().filter_map(one).collect();
    all.sort_by_key(|listed| listed.minor);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoots) {
        let host = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = host.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let roots = HostRoots::new(host.path());
        (host, roots)
    }

    #[test]
    fn a_board_without_a_driver_is_told_from_none() {
        let audio = ("sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
        let audio_class = ("sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
        let (_host, roots) = host(&[audio, audio_class]);
        assert_eq!(look(&roots), Presence::Nothing, "a GPU's audio function is no GPU");
        let (_host, roots) = host(&[
            audio,
            audio_class,
            ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
            ("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n"),
        ]);
        assert_eq!(look(&roots), Presence::Bus(1));
    }

    #[test]
    fn the_driver_s_own_files_tell_version_and_gpus() {
        let version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (x)\nGCC version: 12.2.0\n";
        let information =
            "Model: \t\t NVIDIA H100\nIRQ:   \t\t 161\nGPU UUID: \t GPU-6b7c\nDevice Minor: \t 3\nGPU Excluded:\t No\n";
        let excluded = "GPU UUID: \t GPU-excl\nDevice Minor: \t 4\nGPU Excluded:\t Yes\n";
        let (_host, roots) = host(&[
            ("proc/driver/nvidia/version", version),
            ("proc/driver/nvidia/gpus/0000:19:00.0/information", information),
            ("proc/driver/nvidia/gpus/0000:3b:00.0/information", excluded),
        ]);
        assert_eq!(look(&roots), Presence::Driver);
        assert_eq!(driver_version(&roots).as_deref(), Some("580.95.05"));
        let only = Listed {
            uuid: "GPU-6b7c".to_owned(),
            address: Pci::parse("0000:19:00.0"),
            model: Some("NVIDIA H100".to_owned()),
            minor: Some(3),
        };
        assert_eq!(listed(&roots), [only]);
    }
}
