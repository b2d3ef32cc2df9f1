//! Where `libnvidia-ml.so.1` is, and whether it may be trusted.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::host::HostRoots;

const NAME: &str = "libnvidia-ml.so.1";

/// Where distributions, NVIDIA's container toolkit and the installer put it, and WSL's own place.
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

/// Roots of a driver that does not lie in the host's own: the GPU operator's driver container, and GKE's installer
/// (whose root has the library in `lib64`).
const DRIVER_ROOTS: [&str; 2] = ["/run/nvidia/driver", "/home/kubernetes/bin/nvidia"];
const GKE: &str = "/home/kubernetes/bin/nvidia/lib64";

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{} cannot be looked at", .0.display())]
    Unseen(PathBuf, #[source] io::Error),
    #[error(
        "{} belongs to user {owner}, and loading it would run that user's code as the agent: `chown root` it, or name \
         another library",
        .path.display()
    )]
    Foreign { path: PathBuf, owner: u32 },
    #[error("{} can be written by others than its owner: `chmod go-w` it, or name another library", .0.display())]
    Writable(PathBuf),
}

/// The named library alone, else all that there are: those of this process's own file system first, then those of the
/// host's.
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

/// Whether nobody but root or this user could have put code there.
pub(super) fn check(file: &Path) -> Result<(), Refused> {
    let about = std::fs::metadata(file).map_err(|error| Refused::Unseen(file.to_owned(), error))?;
    let us = rustix::process::geteuid().as_raw();
    if about.uid() != 0 && about.uid() != us {
        return Err(Refused::Foreign {
            path: file.to_owned(),
            owner: about.uid(),
        });
    }
    if about.mode() & 0o022 != 0 {
        return Err(Refused::Writable(file.to_owned()));
    }
    Ok(())
}

/// What is to be done where there is none.
pub(super) const REMEDY: &str = "in a container, have NVIDIA's runtime mount it (runtime class nvidia, \
    NVIDIA_VISIBLE_DEVICES=all, NVIDIA_DRIVER_CAPABILITIES=utility), or mount the host's and set nvidia.library; on a \
    host, install the driver's package with its libraries";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn what_others_can_write_is_not_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        std::fs::write(&file, "").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o755);
        assert!(check(&file).is_ok());
        mode(0o775);
        assert!(matches!(check(&file), Err(Refused::Writable(_))));
        assert!(matches!(
            check(&directory.path().join("gone")),
            Err(Refused::Unseen(..))
        ));
    }
}
