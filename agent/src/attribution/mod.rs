//! From a process to its container and pod, with nothing but what the node itself holds.

mod bundle;
pub mod cgroup;
pub mod container;
mod engine;
mod logs;
mod segment;

use std::io;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::host::HostRoots;

/// A JSON file of the host, or nothing: most places do not exist on most nodes.
fn json<T: DeserializeOwned>(roots: &HostRoots, path: &Path, most: usize) -> Option<T> {
    let bytes = match roots.read(path, most) {
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
        // Docker and Podman replace their files, but a bundle may be seen while it is being written.
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "a container's names are not in the expected form");
            None
        }
    }
}
