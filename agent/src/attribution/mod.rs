//! From a process to its container and pod, with nothing but what the node itself holds.

mod bundle;
pub mod cgroup;
pub mod container;
mod engine;
mod growth;
mod known;
mod logs;
mod merge;
mod resolve;
mod segment;
mod sources;
mod totals;

pub use merge::Merger;
pub use resolve::{Attribution, Resolution, Settings};

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::path::Path;
use std::time::Instant;

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

/// If there are `most` entries, drops the quarter that was used longest ago: rarely much at once rather than a search
/// for each new entry.
fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, most: usize, used: impl Fn(&V) -> Instant) {
    if map.len() < most {
        return;
    }
    let mut times: Vec<Instant> = map.values().map(&used).collect();
    times.sort_unstable();
    let mut surplus = map.len() - most + most.div_ceil(4);
    let newest_to_go = times[surplus - 1];
    map.retain(|_, value| {
        let goes = surplus > 0 && used(value) <= newest_to_go;
        surplus -= usize::from(goes);
        !goes
    });
}
