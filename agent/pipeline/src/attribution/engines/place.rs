//! A directory in which an engine keeps what it knows of its containers.

use std::io;
use std::path::PathBuf;

use super::files::Files;
use super::patience::Author;
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
    /// The mount namespace in which that is another root than the host's.
    pub(super) view: Option<u64>,
    /// The container that the engine runs in: it only names containers in that one.
    pub(super) within: Option<String>,
    /// Whose engine it is: it only names containers in groups of that user.
    pub(super) owner: Owner,
    /// Whether it counts whoever can change it: the agent's own configuration names it.
    pub(super) is_given: bool,
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
            view: None,
            within: None,
            owner: Owner::Root,
            is_given: false,
        }
    }

    /// Who decides whether a read of it returns.
    pub(super) fn author(&self) -> Author {
        match (&self.within, self.owner) {
            (Some(container), _) => Author::Container(container.clone()),
            (None, Owner::Root) => Author::Node(self.path.clone()),
            (None, Owner::User(user)) => Author::User(user),
            (None, Owner::SomeUser) => Author::Home(self.path.clone()),
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

    /// The container with what is known here of it, by its id, the most complete source first.
    pub(super) fn filled(&self, container: Container, id: &str) -> Container {
        let files = self.files.now();
        let mut filled = container.clone();
        if self.counts(&files) {
            self.fill(&files, &mut filled, id);
        }
        // Another process may have its engine's id by now.
        if files.is_there() { filled } else { container }
    }

    /// Whether it speaks for root where it is to: root alone can change it.
    fn counts(&self, files: &Files) -> bool {
        !self.is_nodes() || self.is_given || files.is_roots(&self.path)
    }

    fn fill(&self, files: &Files, container: &mut Container, id: &str) {
        let path = self.path.as_path();
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

    /// Equal for the same directory of the same user or container.
    pub(super) fn key(&self) -> (Option<u64>, PathBuf, Owner, Option<String>) {
        (self.view, self.path.clone(), self.owner, self.within.clone())
    }

    /// Whether there is nothing.
    pub(super) fn is_absent(&self) -> bool {
        let found = self.files.roots.find(&self.path);
        found.is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }

    /// Whether something is there that counts.
    pub(super) fn exists(&self) -> bool {
        self.files.exists(&self.path) && self.counts(&self.files)
    }

    /// The same with whether it can be read.
    pub(super) fn is_readable(&self) -> Option<bool> {
        self.exists().then(|| {
            let names = self.files.roots.names(&self.path, 1);
            !names.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        })
    }
}
