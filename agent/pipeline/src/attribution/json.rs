//! JSON files of the host.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use accelscope_core::host::HostRoots;

/// Longest file that is read: they are some ten KiB, a few hundred with many mounts and a long seccomp profile.
const MAX_BYTES: usize = 4 << 20;

/// The content of `path`, or nothing: most places do not exist on most nodes.
pub(super) fn read<T: DeserializeOwned>(roots: &HostRoots, path: &Path) -> Option<T> {
    let bytes = match roots.read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(path = %path.display(), %error, "a container's names cannot be read here");
            }
            return None;
        }
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Some(value),
        // Docker and Podman replace their files, but a bundle may be read while it is being written.
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "a container's names are not in the expected form");
            None
        }
    }
}
