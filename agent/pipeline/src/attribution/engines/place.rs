//! A directory in which an engine keeps what it knows of its containers.

use std::path::PathBuf;

use super::{bundle, state};
use crate::attribution::container::Container;
use accelscope_core::host::HostRoots;

/// A directory of any engine: a state directory of containerd, a data directory of Docker or iSulad, a graph or run root of
/// containers/storage. What is in it shows which.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Where the path begins: the host, or what the engine's process sees as its root.
    pub(super) roots: HostRoots,
    /// The container that the engine runs in: it only names containers in that one.
    pub(super) within: Option<String>,
}

impl Place {
    /// On the host.
    pub(super) fn new(roots: &HostRoots, path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            roots: roots.clone(),
            within: None,
        }
    }

    /// Fills in what is known here of the container with that id, the most complete source first.
    pub(super) fn fill(&self, container: &mut Container, id: &str) {
        let (roots, path) = (&self.roots, self.path.as_path());
        let mut add = |found: Option<Container>| {
            // A container that may write to its cgroup can make one that is named like another pod's container.
            if let Some(found) = found.filter(|found| !container.contradicts(found)) {
                container.fill(found);
            }
            container.is_complete()
        };
        if add(bundle::containerd(roots, path, id)) || add(state::docker(roots, path, id)) {
            return;
        }
        for driver in state::drivers(roots, path) {
            if add(bundle::crio_or_podman(roots, &driver, id)) || add(state::listed(roots, &driver, id)) {
                return;
            }
        }
        add(state::isulad(roots, path, id));
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.path == other.path && self.roots.path("/") == other.roots.path("/")
    }

    pub(super) fn exists(&self) -> bool {
        self.roots.find(&self.path).is_ok()
    }
}
