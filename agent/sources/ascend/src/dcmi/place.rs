//! Search for the library.

use std::path::{Path, PathBuf};

use crate::tool;
use accelscope_core::host::HostRoots;
use accelscope_core::trust::{self, Refused};

/// Directories used by the driver's packages, the newer one first.
const PLACES: [&str; 2] = [
    "/usr/local/Ascend/driver/lib64/driver/libdcmi.so",
    "/usr/local/dcmi/libdcmi.so",
];

/// Name for the loader, which has it in its cache on an installed host.
const BARE: &str = "libdcmi.so";

/// The configured library, or the first existing one here or in the host's root; `None` if only the loader may find one.
/// And `LD_LIBRARY_PATH` for it: a host has the driver's libraries in its loader's cache, a container that mounts them
/// does not.
pub(super) fn find(roots: &HostRoots, named: Option<&Path>) -> (Option<PathBuf>, String) {
    match tool::located(roots, named.map(Path::to_owned), &PLACES, || None) {
        Some(found) => (Some(found.path), found.libraries),
        None => (None, tool::libraries(|path| path.into())),
    }
}

/// Argument for the loader, which may find the library even if no file is known.
pub(super) fn checked(file: Option<PathBuf>) -> Result<PathBuf, Refused> {
    let Some(file) = file else {
        return Ok(BARE.into());
    };
    trust::check(&file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_one_comes_first_and_then_the_host_s() {
        let host = tempfile::tempdir().unwrap();
        let place = host.path().join("usr/local/dcmi/libdcmi.so");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "").unwrap();
        let roots = HostRoots::new(host.path());
        let (file, libraries) = find(&roots, None);
        assert_eq!(file, Some(place));
        let beside = host.path().join("usr/local/Ascend/driver/lib64/common");
        assert!(libraries.contains(beside.to_str().unwrap()), "{libraries}");
        let named = Path::new("/opt/other.so");
        assert_eq!(find(&roots, Some(named)).0.as_deref(), Some(named));
    }
}
