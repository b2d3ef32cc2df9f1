//! Files that engines write, and their configuration.

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use accelscope_core::host::HostRoots;

/// Longest file that is read: they are some ten KiB, a few hundred with many mounts and a long seccomp profile.
const MAX_BYTES: usize = 4 << 20;

/// The JSON in `path`, or nothing: most places do not exist on most nodes.
pub(super) fn json<T: DeserializeOwned>(roots: &HostRoots, path: &Path) -> Option<T> {
    let bytes = read(roots, path)?;
    // Docker and Podman replace their files, but a bundle may be read while it is being written.
    parsed(path, serde_json::from_slice(&bytes))
}

/// The same of TOML.
pub(super) fn toml<T: DeserializeOwned>(roots: &HostRoots, path: &Path) -> Option<T> {
    let bytes = read(roots, path)?;
    parsed(path, ::toml::from_slice(&bytes))
}

fn read(roots: &HostRoots, path: &Path) -> Option<Vec<u8>> {
    match roots.read(path, MAX_BYTES) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(path = %path.display(), %error, "a container's names cannot be read here");
            }
            None
        }
    }
}

fn parsed<T, E: std::fmt::Display>(path: &Path, result: Result<T, E>) -> Option<T> {
    result
        .inspect_err(|error| {
            tracing::debug!(path = %path.display(), %error, "a container's names are not in the expected form");
        })
        .ok()
}
