//! Search for the library.

use std::path::{Path, PathBuf};

use crate::tool::{self, LibraryPath};
use accelscope_core::host::HostRoots;
use accelscope_core::trust::{self, Refused};

/// Directories used by the driver's packages, the newer one first.
const PLACES: [&str; 2] = [
    "/usr/local/Ascend/driver/lib64/driver/libdcmi.so",
    "/usr/local/dcmi/libdcmi.so",
];

/// Name for the loader, which has it in its cache on an installed host.
const NAME: &str = "libdcmi.so";

/// A library and the path of its dependencies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path of the file; `None` if only the loader's directories may have one.
    pub(super) file: Option<PathBuf>,
    /// `LD_LIBRARY_PATH` for it: a host has the driver's libraries in its loader's cache, a container that mounts them
    /// does not.
    pub(super) libraries: LibraryPath,
}

/// The configured library, or the first existing one here or in the host's root.
pub(super) fn find(roots: &HostRoots, named: Option<&Path>) -> Place {
    let installed = || PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    let here = named.map(Path::to_owned).or_else(installed);
    let of_host = || PLACES.iter().map(|place| roots.path(place)).find(|path| path.is_file());
    match here.is_none().then(of_host).flatten() {
        Some(file) => Place {
            file: Some(file),
            libraries: tool::libraries(|path| roots.path(path)),
        },
        None => Place {
            file: here,
            libraries: tool::libraries(|path| path.into()),
        },
    }
}

/// The library to load, with all that it needs checked: the given one, or the one that the loader finds by its name. `None` if
/// there is none.
pub(super) fn checked(file: Option<PathBuf>) -> Result<Option<PathBuf>, Refused> {
    // As the agent has set it, for the loader too.
    let (_, directories) = trust::library_path([]);
    let found = file.or_else(|| trust::find_library(NAME, &directories));
    if let Some(file) = &found {
        trust::check(file, &directories)?;
    }
    Ok(found)
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
        let beside = host.path().join("usr/local/Ascend/driver/lib64/common");
        std::fs::create_dir_all(&beside).unwrap();
        let roots = HostRoots::new(host.path());
        let of_host = find(&roots, None);
        assert_eq!(of_host.file, Some(place));
        assert!(of_host.libraries.directories.contains(&beside), "{of_host:?}");
        let named = Path::new("/opt/other.so");
        assert_eq!(find(&roots, Some(named)).file.as_deref(), Some(named));
    }
}
