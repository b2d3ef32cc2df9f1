//! The host's control groups by the ids that the kernel gives them.
//!
//! What is learned here stays known when the group itself is gone: a process may be over long before what it did is read.

mod hierarchy;
mod known;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::HostRoots;
use hierarchy::Hierarchies;
use known::Known;

/// In which of the host's hierarchies an id is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hierarchy {
    /// cgroup v2.
    Unified,
    /// The v1 hierarchy of the controller `pids`, else of `memory`: on a hybrid host pods may exist there only.
    Legacy,
}

/// A control group, by the kernfs id that the kernel gives it: on 64-bit kernels from 5.5 on the inode number of its
/// directory (commit 40430452fd5d). Never given twice while the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId {
    /// Its hierarchy.
    pub hierarchy: Hierarchy,
    /// Its number there.
    pub id: u64,
}

/// Whether a control group is still used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Processes are in it.
    Populated,
    /// It exists without a process.
    Empty,
    /// It has been removed.
    Gone,
    /// It cannot be seen from here.
    Unknown,
}

/// The paths of the host's control groups, learned from its file systems and from whoever sees them made. Clones share
/// what they know.
#[derive(Debug, Clone)]
pub struct Cgroups {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    hierarchies: Hierarchies,
    known: Known,
}

impl Cgroups {
    /// Of the host. Nothing is read before the first question.
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                hierarchies: Hierarchies::new(roots),
                known: Known::default(),
            })),
        }
    }

    /// Reads the file systems now, so that what exists is known before it goes. For whoever is told of new groups.
    pub fn scan(&self) {
        let Shared { hierarchies, known } = &mut *self.lock();
        known.scan(hierarchies, Instant::now());
    }

    /// Learns of a group that was made. `number` is its hierarchy's, as in `/proc/cgroups` (0: cgroup v2); those that
    /// name no process here are passed over.
    pub fn made(&self, number: u32, id: u64, path: &str) {
        let Shared { hierarchies, known } = &mut *self.lock();
        if let Some(hierarchy) = hierarchies.of_number(number) {
            known.learn(CgroupId { hierarchy, id }, path.into(), Instant::now());
        }
    }

    /// Says that a reading will name it: it is among [`fresh`](Self::fresh) again.
    pub fn named(&self, id: CgroupId) {
        let Shared { hierarchies, known } = &mut *self.lock();
        known.name(id, hierarchies, Instant::now());
    }

    /// Its path from the root of its hierarchy. One that is not known is looked for, at most once a second.
    pub fn path(&self, id: CgroupId) -> Option<Arc<str>> {
        let Shared { hierarchies, known } = &mut *self.lock();
        known.path(id, hierarchies, Instant::now())
    }

    /// Whether it was looked for and not found.
    pub fn is_lost(&self, id: CgroupId) -> bool {
        self.lock().known.is_lost(id)
    }

    /// Those that were made or named since the last call.
    pub fn fresh(&self) -> Vec<(CgroupId, Arc<str>)> {
        self.lock().known.fresh()
    }

    /// Whether it is still used.
    pub fn state(&self, id: CgroupId) -> State {
        let shared = self.lock();
        match shared.known.peek(id) {
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
