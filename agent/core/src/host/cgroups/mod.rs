//! The host's control groups by their kernel ids.
//!
//! Paths are kept after the group was removed: a process may have ended long before its activity is read.

mod controllers;
mod cpu_times;
mod delegation;
mod finder;
mod hierarchy;
mod id;
mod members;
mod paths;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use controllers::{Controllers, V1};
pub use cpu_times::{CpuTime, CpuTimes, Look};
pub use finder::{GroupFinder, Groups};
pub use id::{CgroupId, Hierarchy, State};

use super::HostRoots;
use crate::cgroup::{Cgroup, Delegated};
use paths::PathCache;

/// Paths of the host's control groups, from its file systems and from events of their creation. Clones share one cache.
#[derive(Debug, Clone)]
pub struct Cgroups(Arc<Mutex<PathCache>>);

impl Cgroups {
    /// Control groups of the host. Nothing is read before the first call.
    pub fn new(roots: &HostRoots) -> Self {
        Self(Arc::new(Mutex::new(PathCache::new(roots))))
    }

    /// Reads the file systems now, so that existing groups are known before they are removed.
    pub fn scan(&self) {
        self.lock().scan(Instant::now());
    }

    /// Adds a group that was created or, in a hierarchy of v1, renamed. `number` is its hierarchy's, as in
    /// `/proc/cgroups` (0: cgroup v2); groups of other hierarchies are ignored.
    pub fn add_created(&self, number: u32, id: u64, path: &str) {
        let mut cache = self.lock();
        if let Some(hierarchy) = cache.hierarchies.of_number(number) {
            cache.insert(CgroupId { hierarchy, id }, path.into(), Instant::now());
        }
    }

    /// Adds such a group when its path is not known, which is then read from the file systems.
    pub fn find_created(&self, number: u32, id: u64) {
        let mut cache = self.lock();
        if let Some(hierarchy) = cache.hierarchies.of_number(number) {
            cache.find(CgroupId { hierarchy, id }, Instant::now());
        }
    }

    /// Number of renamings so far: a path that was read before another one may be out of date.
    pub fn renamings(&self) -> u64 {
        self.lock().renamings
    }

    /// Announces a reading of the group: [`take_new`](Self::take_new) returns it again.
    pub fn announce(&self, id: CgroupId) {
        self.lock().announce(id, Instant::now());
    }

    /// Path from the root of its hierarchy. An unknown id triggers a scan, at most one per second.
    pub fn path(&self, id: CgroupId) -> Option<Arc<str>> {
        self.lock().get(id, Instant::now())
    }

    /// The same below the reader's root, where that is known to be a group that is no pod's: a node's that is a container.
    pub fn path_within(&self, id: CgroupId) -> Option<Arc<str>> {
        let mut cache = self.lock();
        let path = cache.get(id, Instant::now())?;
        let within = cache.within(id.hierarchy, &path).map(Arc::from);
        Some(within.unwrap_or(path))
    }

    /// The group on the way to that path, as [`path_within`](Self::path_within) has it, that root has given to another user.
    pub fn delegated(&self, id: CgroupId, path: &str) -> Option<Delegated> {
        let mount = self.lock().hierarchies.mount(id.hierarchy)?;
        delegation::below(&mount, path)
    }

    /// What the text of a `/proc/<pid>/cgroup` says, with the groups that root has given to other users.
    pub fn parse(&self, text: &str) -> Cgroup {
        Cgroup::of_owned(self.owned(text))
    }

    /// The paths in such a text.
    pub fn owned<'a>(&self, text: &'a str) -> Vec<(&'a str, Option<Delegated>)> {
        let roots = self.lock().hierarchies.roots().clone();
        let parts = text.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?, parts.next()?))
        });
        let owned =
            parts.map(|(controllers, path)| (path, delegation::below(&delegation::mount(&roots, controllers), path)));
        owned.collect()
    }

    /// Whether it was searched for and not found.
    pub fn is_missing(&self, id: CgroupId) -> bool {
        self.lock().is_missing(id)
    }

    /// Groups that were created or announced since the last call.
    pub fn take_new(&self) -> Vec<(CgroupId, Arc<str>)> {
        self.lock().take_new()
    }

    /// Forgets the groups that are gone and were not used since `before`.
    pub fn evict(&self, before: Instant) {
        self.lock().evict(before, Instant::now());
    }

    /// How many paths are kept.
    pub fn kept(&self) -> usize {
        self.lock().kept()
    }

    /// State of the group.
    pub fn state(&self, id: CgroupId) -> State {
        self.lock().state(id)
    }

    /// Ids of processes in the group itself, a bounded number of them, in the reader's PID namespace. Nothing where that
    /// cannot be known.
    pub fn processes(&self, id: CgroupId) -> Vec<u32> {
        let mut cache = self.lock();
        let path = cache.peek(id);
        path.map_or_else(Vec::new, |path| cache.hierarchies.processes(id, &path))
    }

    /// Whether the file systems show all groups, and not only those below the reader's own.
    pub fn see_all(&self) -> bool {
        self.lock().hierarchies.see_all()
    }

    fn lock(&self) -> MutexGuard<'_, PathCache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
