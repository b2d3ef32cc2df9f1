//! Locations of the tool, its libraries and the devices.

use std::ffi::OsString;
use std::path::PathBuf;

use super::settings::Settings;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::trust;

/// Paths of the tool in the driver's package and in its container mounts.
const PATHS: [&str; 4] = [
    "/usr/local/sbin/npu-smi",
    "/usr/local/bin/npu-smi",
    "/usr/local/Ascend/driver/tools/npu-smi",
    "/usr/sbin/npu-smi",
];

/// Directories of its libraries: an installed host has them in its loader's cache, a container that mounts them has not.
const LIBRARIES: [&str; 4] = [
    "/usr/local/Ascend/driver/lib64",
    "/usr/local/Ascend/driver/lib64/common",
    "/usr/local/Ascend/driver/lib64/driver",
    "/usr/local/dcmi",
];

/// PCI device ids of the chips (`dcmi_common.h` of the driver's source): 310, 310P, 910A, 910B, 910_93, 950. The vendor
/// id alone also matches Huawei's network and storage cards.
const DEVICES: [&str; 6] = ["0xd100", "0xd500", "0xd801", "0xd802", "0xd803", "0xd806"];
const VENDOR: &str = "0x19e5";

/// Paths of the tool, in this process's mount namespace or below the host's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) path: PathBuf,
    /// Its `LD_LIBRARY_PATH`.
    pub(super) libraries: LibraryPath,
}

/// Finds the tool: the configured path, or the first that exists.
pub(super) fn find(roots: &HostRoots, settings: &Settings) -> Option<Tool> {
    let installed = || PATHS.iter().map(PathBuf::from).find(|path| path.is_file());
    let in_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|directory| directory.join("npu-smi"))
            .find(|path| path.is_absolute() && path.is_file())
    };
    if let Some(path) = settings.npu_smi.clone().or_else(installed).or_else(in_path) {
        return Some(Tool {
            path,
            libraries: libraries(|path| path.into()),
        });
    }
    let mut in_host = PATHS.iter().map(|path| roots.path(path));
    Some(Tool {
        path: in_host.find(|path| path.is_file())?,
        libraries: libraries(|path| roots.path(path)),
    })
}

/// Where the vendor's programs look for libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LibraryPath {
    /// Value of `LD_LIBRARY_PATH`.
    pub(super) value: OsString,
    pub(super) directories: Vec<PathBuf>,
}

/// `LD_LIBRARY_PATH` for the vendor's programs: the agent's own, then the driver's directories as `locate` maps them, each of
/// which exists and nobody else can change.
pub(super) fn libraries(locate: impl Fn(&str) -> PathBuf) -> LibraryPath {
    let (value, directories) = trust::library_path(LIBRARIES.iter().map(|path| locate(path)));
    LibraryPath { value, directories }
}

/// PCI addresses of the host's Ascend chips.
pub(super) fn devices(roots: &HostRoots) -> Vec<String> {
    let is_npu = |path: &PathBuf| sysfs::text(&path.join("device")).is_some_and(|id| DEVICES.contains(&id.as_str()));
    let ours = sysfs::pci_functions(roots, VENDOR).into_iter().filter(is_npu);
    ours.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect()
}

/// Reason for the absence of the tool, as one line.
pub(super) fn absence(roots: &HostRoots) -> String {
    match devices(roots).as_slice() {
        [] => "no npu-smi and no Ascend chip found".to_owned(),
        [first, ..] => format!(
            "Ascend chip {first} found, but no npu-smi: mount the driver's /usr/local/Ascend/driver and \
             /usr/local/sbin/npu-smi into the agent's container, or set ascend.npu_smi"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_tool_uses_the_host_s_libraries() {
        let host = tempfile::tempdir().unwrap();
        let place = host.path().join("usr/local/sbin/npu-smi");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "").unwrap();
        let libraries = host.path().join("usr/local/Ascend/driver/lib64/common");
        std::fs::create_dir_all(&libraries).unwrap();
        let roots = HostRoots::new(host.path());
        let found = find(&roots, &Settings::default()).unwrap();
        assert_eq!(found.path, place);
        assert!(found.libraries.directories.contains(&libraries), "{found:?}");
    }

    #[test]
    fn a_huawei_network_card_is_no_npu() {
        let host = tempfile::tempdir().unwrap();
        for (address, device) in [("0000:01:00.0", "0xd802\n"), ("0000:02:00.0", "0x1822\n")] {
            let path = host.path().join("sys/bus/pci/devices").join(address);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("vendor"), "0x19e5\n").unwrap();
            std::fs::write(path.join("device"), device).unwrap();
        }
        let roots = HostRoots::new(host.path());
        assert_eq!(devices(&roots), ["0000:01:00.0"]);
        assert!(absence(&roots).contains("mount"), "{}", absence(&roots));
    }
}
