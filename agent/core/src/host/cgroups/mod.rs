//! The host's control groups by the ids that the kernel gives them.
//!
//! A path stays known when the group itself is gone: a process may have ended long before what it did is read.

mod hierarchy;
mod id;
mod paths;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use id::{CgroupId, Hierarchy, State};

use super::HostRoots;
use hierarchy::Hierarchies;
use paths::PathCache;

/// The paths of the host's control groups, from its file systems and from events of their creation. Clones share
/// one cache.
#[derive(Debug, Clone)]
pub struct Cgroups {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    hierarchies: Hierarchies,
    paths: PathCache,
}

impl Cgroups {
    /// Of the host. Nothing is read before the first call.
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                hierarchies: Hierarchies::new(roots),
                paths: PathCache::default(),
            })),
        }
    }

    /// Reads the file systems now, so that what exists is known before it is removed.
    pub fn scan(&self) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.scan(hierarchies, Instant::now());
    }

    /// Adds a group that was created. `number` is its hierarchy's, as in `/proc/cgroups` (0: cgroup v2); groups of other
    /// hierarchies are ignored.
    pub fn add_created(&self, number: u32, id: u64, path: &str) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        if let Some(hierarchy) = hierarchies.of_number(number) {
            paths.insert(CgroupId { hierarchy, id }, path.into(), Instant::now());
        }
    }

    /// Announces that a reading will belong to it: it is among [`take_new`](Self::take_new) again.
    pub fn announce(&self, id: CgroupId) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.announce(id, hierarchies, Instant::now());
    }

    /// Its path from the root of its hierarchy. One that is not known is searched, at most once a second.
    pub fn path(&self, id: CgroupId) -> Option<Arc<str>> {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.get(id, hierarchies, Instant::now())
    }

    /// Whether it was searched and not found.
    pub fn is_missing(&self, id: CgroupId) -> bool {
        self.lock().paths.is_missing(id)
    }

    /// Those that were created or announced since the last call.
    pub fn take_new(&self) -> Vec<(CgroupId, Arc<str>)> {
        self.lock().paths.take_new()
    }

    /// Whether it is still used.
    pub fn state(&self, id: CgroupId) -> State {
        let shared = self.lock();
        match shared.paths.peek(id) {
            Some(path) => shared.hierarchies.state(id, &path),
            None => State::Unknown,
        }
    }

    /// Whether the file systems show every group, and not only those below the reader's own.
    pub fn see_all(&self) -> bool {
        self.lock().hierarchies.see_all()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
