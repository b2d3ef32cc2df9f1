//! Cache of the control groups' paths, which outlives the groups themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hierarchy::Hierarchies;
use super::id::CgroupId;
use crate::evict_oldest;
use crate::host::HostRoots;

/// Limit of paths in the cache, some 200 bytes each; beyond it the least recently used are evicted.
const MAX_PATHS: usize = 32_768;

/// Limit of ids in the list of missing ones.
const MAX_MISSING: usize = 4096;

/// Limit of groups in the list of new ones.
const MAX_NEW: usize = 4096;

/// Least time between two scans for an id that is not in the cache.
const RESCAN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct PathCache {
    pub(super) hierarchies: Hierarchies,
    paths: HashMap<CgroupId, Entry>,
    /// Ids that were searched for after their creation, and not found.
    missing: HashSet<CgroupId>,
    new: Vec<CgroupId>,
    scanned: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    used: Instant,
}

impl PathCache {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            hierarchies: Hierarchies::new(roots),
            paths: HashMap::new(),
            missing: HashSet::new(),
            new: Vec::new(),
            scanned: None,
        }
    }

    /// Adds a created group.
    pub(super) fn insert(&mut self, id: CgroupId, path: Arc<str>, now: Instant) {
        evict_oldest(&mut self.paths, MAX_PATHS, |entry| entry.used);
        self.missing.remove(&id);
        self.paths.insert(id, Entry { path, used: now });
        self.add_new(id);
    }

    /// Adds all groups of the file systems.
    pub(super) fn scan(&mut self, now: Instant) {
        self.scanned = Some(now);
        self.hierarchies.read(|id, path| {
            evict_oldest(&mut self.paths, MAX_PATHS, |entry| entry.used);
            // The path in the event of the creation is complete; one from a scan may start at the reader's own group.
            self.paths.entry(id).or_insert(Entry { path, used: now });
        });
    }

    /// The group's path. Scans for one that is not in the cache.
    pub(super) fn get(&mut self, id: CgroupId, now: Instant) -> Option<Arc<str>> {
        if !self.paths.contains_key(&id) {
            let due = self.scanned.is_none_or(|last| now.duration_since(last) >= RESCAN);
            if !due || self.missing.contains(&id) {
                return None;
            }
            self.scan(now);
            if !self.paths.contains_key(&id) {
                if self.missing.len() >= MAX_MISSING {
                    self.missing.clear();
                }
                self.missing.insert(id);
            }
        }
        let entry = self.paths.get_mut(&id)?;
        entry.used = now;
        Some(entry.path.clone())
    }

    /// Adds the group to the list of new ones, if it can be found.
    pub(super) fn announce(&mut self, id: CgroupId, now: Instant) {
        if self.get(id, now).is_some() {
            self.add_new(id);
        }
    }

    /// The group's path, if it is in the cache.
    pub(super) fn peek(&self, id: CgroupId) -> Option<Arc<str>> {
        self.paths.get(&id).map(|entry| entry.path.clone())
    }

    pub(super) fn is_missing(&self, id: CgroupId) -> bool {
        self.missing.contains(&id)
    }

    /// Empties the list of new groups.
    pub(super) fn take_new(&mut self) -> Vec<(CgroupId, Arc<str>)> {
        let new = std::mem::take(&mut self.new);
        new.into_iter().filter_map(|id| Some((id, self.peek(id)?))).collect()
    }

    fn add_new(&mut self, id: CgroupId) {
        if self.new.len() < MAX_NEW && self.new.last() != Some(&id) {
            self.new.push(id);
        }
    }
}
