//! From a process to its container and pod, with nothing but what the node itself holds.

mod bundle;
pub mod container;
mod engine;
mod growth;
mod known;
mod logs;
mod merge;
mod owners;
mod resolve;
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

use accelscope_core::host::HostRoots;

/// The host's directories that containers' names are read from, where they exist; for whoever explains their absence.
pub fn name_sources() -> impl Iterator<Item = &'static str> {
    let known = [bundle::CONTAINERD, bundle::STORAGE, engine::DOCKER];
    known.into_iter().flatten().copied().chain([logs::LINKS, logs::PODS])
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_cache_forgets_what_was_used_longest_ago_and_stays_bounded() {
        let (start, mut cache) = (Instant::now(), HashMap::new());
        for number in 0..1000 {
            make_room(&mut cache, 100, |used| *used);
            // The first is used again and again.
            cache.insert(0, start + Duration::from_secs(number));
            cache.insert(number, start + Duration::from_secs(number));
            assert!(cache.len() <= 101, "{}", cache.len());
        }
        assert!(cache.contains_key(&0) && cache.contains_key(&999) && !cache.contains_key(&1));
    }

    #[test]
    fn entries_of_one_moment_make_room_too() {
        let now = Instant::now();
        let mut cache: HashMap<u32, Instant> = (0..100).map(|number| (number, now)).collect();
        make_room(&mut cache, 100, |used| *used);
        assert_eq!(cache.len(), 75);
    }
}
