//! Search for `libnvidia-ml.so.1`.

use std::path::{Path, PathBuf};

use accelscope_core::host::HostRoots;

/// Name for the loader.
pub(super) const NAME: &str = "libnvidia-ml.so.1";

/// Directories used by distributions, NVIDIA's container toolkit and installer, and WSL.
const DIRECTORIES: [&str; 9] = [
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    #[cfg(not(target_arch = "x86_64"))]
    "/usr/lib/aarch64-linux-gnu",
    #[cfg(not(target_arch = "x86_64"))]
    "/usr/lib/aarch64-linux-gnu/nvidia",
    "/usr/lib64",
    "/usr/lib64/nvidia",
    "/usr/lib",
    "/usr/lib/nvidia",
    "/usr/local/nvidia/lib64",
    "/opt/nvidia/lib64",
    "/usr/lib/wsl/lib",
];

/// Root directories of drivers outside of the host's own: the GPU operator's driver container, and GKE's installer
/// (with the library in `lib64`).
const DRIVER_ROOTS: [&str; 2] = ["/run/nvidia/driver", "/home/kubernetes/bin/nvidia"];
const GKE: &str = "/home/kubernetes/bin/nvidia/lib64";

/// The configured library alone, otherwise all existing ones: those of this process's own file system first, then those
/// of the host's.
pub(super) fn candidates(roots: &HostRoots, named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named.to_owned()];
    }
    let places: Vec<PathBuf> = DIRECTORIES
        .iter()
        .map(PathBuf::from)
        .chain([PathBuf::from(GKE)])
        .chain(DRIVER_ROOTS.iter().flat_map(|root| {
            DIRECTORIES
                .iter()
                .map(move |directory| Path::new(root).join(directory.trim_start_matches('/')))
        }))
        .map(|directory| directory.join(NAME))
        .collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for file in places
        .iter()
        .cloned()
        .chain(places.iter().map(|place| roots.path(place)))
    {
        if file.is_file() && !found.contains(&file) {
            found.push(file);
        }
    }
    found
}

/// Remedy if there is no library.
pub(super) const REMEDY: &str = "in a container, have NVIDIA's runtime mount it (runtime class nvidia, \
    NVIDIA_VISIBLE_DEVICES=all, NVIDIA_DRIVER_CAPABILITIES=utility), or mount the host's and set nvidia.library; on a \
    host, install the driver's package with its libraries";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_one_is_the_only_one_and_the_operator_s_is_found_in_the_host_s_root() {
        let host = tempfile::tempdir().unwrap();
        let roots = HostRoots::new(host.path());
        let put = |place: &str| {
            let file = host.path().join(place).join(NAME);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            file
        };
        let operator = put("run/nvidia/driver/usr/lib64");
        let gke = put("home/kubernetes/bin/nvidia/lib64");
        let found = candidates(&roots, None);
        assert!(found.contains(&operator) && found.contains(&gke), "{found:?}");
        let named = Path::new("/opt/other.so");
        assert_eq!(candidates(&roots, Some(named)), [named]);
    }
}
