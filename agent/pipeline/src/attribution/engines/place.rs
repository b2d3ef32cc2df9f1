//! A directory in which an engine keeps what it knows of its containers.

use std::path::PathBuf;

use super::files::Files;
use super::{bundle, state};
use crate::attribution::container::Container;
use accelscope_core::cgroup::Cgroup;

/// A directory of any engine: a state directory of containerd, a data directory of Docker or iSulad, a graph or run root of
/// containers/storage. What is in it shows which.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Where the path begins: the host, or what the engine's process sees as its root.
    pub(super) files: Files,
    /// The container that the engine runs in: it only names containers in that one.
    pub(super) within: Option<String>,
    /// Whose engine it is: it only names containers in groups of that user.
    pub(super) owner: Owner,
}

/// Whose engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// The node's own.
    Root,
    User(u32),
    /// Of a user without a name here, in a home that root has made.
    SomeUser,
}

impl Owner {
    pub(super) const fn of(user: u32) -> Self {
        match user {
            0 => Self::Root,
            user => Self::User(user),
        }
    }
}

impl Place {
    /// Not in a container.
    pub(super) fn new(files: &Files, path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            files: files.clone(),
            within: None,
            owner: Owner::Root,
        }
    }

    /// Whether its engine can have made the container in `cgroup`. `own` is the container that this node is, if it is one.
    pub(super) fn speaks_for(&self, cgroup: &Cgroup, own: Option<&str>) -> bool {
        let outer = cgroup.outer_container.as_deref().filter(|outer| Some(*outer) != own);
        match (self.within.as_deref(), outer) {
            (None, None) => match cgroup.user {
                None => self.owner == Owner::Root,
                Some(user) => self.owner == Owner::User(user) || self.owner == Owner::SomeUser,
            },
            (within, outer) => within == outer,
        }
    }

    /// Whether it is root's, of an engine of this node.
    pub(super) fn is_nodes(&self) -> bool {
        self.within.is_none() && self.owner == Owner::Root
    }

    /// Fills in what is known here of the container with that id, the most complete source first.
    pub(super) fn fill(&self, container: &mut Container, id: &str) {
        let (files, path) = (&self.files, self.path.as_path());
        let mut add = |found: Option<Container>| {
            // A container that may write to its cgroup can make one that is named like another pod's container.
            if let Some(found) = found.filter(|found| !container.contradicts(found)) {
                container.fill(found);
            }
            container.is_complete()
        };
        if add(bundle::containerd(files, path, id)) || add(state::docker(files, path, id)) {
            return;
        }
        for driver in state::drivers(files, path) {
            if add(bundle::crio_or_podman(files, &driver, id)) || add(state::listed(files, &driver, id)) {
                return;
            }
        }
        add(state::isulad(files, path, id));
    }

    /// Equal for the same directory of the same user.
    pub(super) fn key(&self) -> (PathBuf, PathBuf, Owner) {
        (self.files.roots.path("/"), self.path.clone(), self.owner)
    }

    pub(super) fn exists(&self) -> bool {
        self.files.exists(&self.path)
    }
}
