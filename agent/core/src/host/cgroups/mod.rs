//! The host's control groups by their kernel ids.
//!
//! Paths are kept after the group was removed: a process may have ended long before its activity is read.

mod hierarchy;
mod id;
mod paths;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use id::{CgroupId, Hierarchy, State};

use super::HostRoots;
use hierarchy::Hierarchies;
use paths::PathCache;

/// Paths of the host's control groups, from its file systems and from events of their creation. Clones share one cache.
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
    /// Control groups of the host. Nothing is read before the first call.
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                hierarchies: Hierarchies::new(roots),
                paths: PathCache::default(),
            })),
        }
    }

    /// Reads the file systems now, so that existing groups are known before they are removed.
    pub fn scan(&self) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.scan(hierarchies, Instant::now());
    }

    /// Adds a created group. `number` is its hierarchy's, as in `/proc/cgroups` (0: cgroup v2); groups of other
    /// hierarchies are ignored.
    pub fn add_created(&self, number: u32, id: u64, path: &str) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        if let Some(hierarchy) = hierarchies.of_number(number) {
            paths.insert(CgroupId { hierarchy, id }, path.into(), Instant::now());
        }
    }

    /// Announces a reading of the group: [`take_new`](Self::take_new) returns it again.
    pub fn announce(&self, id: CgroupId) {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.announce(id, hierarchies, Instant::now());
    }

    /// Path from the root of its hierarchy. An unknown id triggers a scan, at most one per second.
    pub fn path(&self, id: CgroupId) -> Option<Arc<str>> {
        let Shared { hierarchies, paths } = &mut *self.lock();
        paths.get(id, hierarchies, Instant::now())
    }

    /// Whether it was searched for and not found.
    pub fn is_missing(&self, id: CgroupId) -> bool {
        self.lock().paths.is_missing(id)
    }

    /// Groups that were created or announced since the last call.
    pub fn take_new(&self) -> Vec<(CgroupId, Arc<str>)> {
        self.lock().paths.take_new()
    }

    /// State of the group.
    pub fn state(&self, id: CgroupId) -> State {
        let shared = self.lock();
        match shared.paths.peek(id) {
            Some(path) => shared.hierarchies.state(id, &path),
            None => State::Unknown,
        }
    }

    /// Whether the file systems show all groups, and not only those below the reader's own.
    pub fn see_all(&self) -> bool {
        self.lock().hierarchies.see_all()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
