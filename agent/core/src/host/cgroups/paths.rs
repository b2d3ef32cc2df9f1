//! Cache of the control groups' paths, which outlives the groups themselves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hierarchy::{Hierarchies, Look};
use super::id::{CgroupId, Hierarchy, State};
use super::members::Members;
use crate::cgroup::Cgroup;
use crate::evict_fairly;
use crate::host::HostRoots;
use crate::host::descriptors::cpu_time;

/// Limit of paths in the cache, some 350 bytes each; beyond it pods, containers and users with more than their share lose
/// those that were used longest ago.
const MAX_PATHS: usize = 8192;

/// Most groups that are looked for at once to see whether they are gone.
const MAX_CHECKS: usize = 1024;

/// Limit of ids in the list of missing ones.
const MAX_MISSING: usize = 4096;

/// Limit of groups in the list of new ones.
const MAX_NEW: usize = 4096;

/// Most groups of one path that are looked at for another name.
const MAX_DEPTH: usize = 32;

/// Least time between two scans for an id that is not in the cache.
const RESCAN: Duration = Duration::from_secs(1);
/// The same as a multiple of the CPU time of the last one, and the longest: users may have made the groups, and a new one may be
/// unknown each time.
const REST: u32 = 100;
const LATEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct PathCache {
    pub(super) hierarchies: Hierarchies,
    members: Members,
    paths: HashMap<CgroupId, Entry>,
    /// Ids that were searched for after their creation, and not found.
    missing: HashSet<CgroupId>,
    new: Vec<CgroupId>,
    scan_again: Option<Instant>,
    pub(super) renamings: u64,
    /// The path of the reader's root in a hierarchy, where a group has shown it.
    around: HashMap<Hierarchy, String>,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    used: Instant,
    /// Whether the file systems had it once.
    is_seen: bool,
}

impl PathCache {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            hierarchies: Hierarchies::new(roots),
            members: Members::new(roots),
            paths: HashMap::new(),
            missing: HashSet::new(),
            new: Vec::new(),
            scan_again: None,
            renamings: 0,
            around: HashMap::new(),
        }
    }

    /// Adds a created or renamed group.
    pub(super) fn insert(&mut self, id: CgroupId, path: Arc<str>, now: Instant) {
        if let Some(former) = self.peek(id).filter(|former| *former != path) {
            // In the order of events, no group with the former name has been created yet.
            rename(&mut self.paths, id.hierarchy, (&former, &path), &|_, _| true);
            self.renamings += 1;
        }
        make_room(&mut self.paths);
        self.missing.remove(&id);
        let is_seen = !self.hierarchies.see_all() && self.locate(id, &path);
        let entry = Entry {
            path,
            used: now,
            is_seen,
        };
        self.paths.insert(id, entry);
        self.add_new(id);
    }

    /// Whether the file systems have the group, with what its path tells of the reader's root.
    fn locate(&mut self, id: CgroupId, path: &str) -> bool {
        let Ok(Some(directory)) = self.hierarchies.locate(id, path) else {
            return false;
        };
        let mount = self.hierarchies.mount(id.hierarchy);
        let end = mount
            .as_deref()
            .and_then(|mount| directory.strip_prefix(mount).ok()?.to_str());
        let around = end.and_then(|end| path.strip_suffix(end)?.strip_suffix('/'));
        if let Some(around) = around.filter(|around| !around.is_empty()) {
            // In a pod it tells whose all groups are that are seen.
            if Cgroup::from_path(around).pod_uid.is_none() {
                self.around.insert(id.hierarchy, around.to_owned());
            }
        }
        true
    }

    /// The path below the reader's root, if it is below.
    pub(super) fn within<'a>(&self, hierarchy: Hierarchy, path: &'a str) -> Option<&'a str> {
        let within = path.strip_prefix(self.around.get(&hierarchy)?.as_str())?;
        within.starts_with('/').then_some(within)
    }

    /// Adds a created or renamed group by its path in the file systems.
    pub(super) fn find(&mut self, id: CgroupId, now: Instant) {
        self.missing.remove(&id);
        // After a renaming, the path in the cache is the former one.
        self.state(id);
        self.announce(id, now);
    }

    /// State of the group. One that is not at its path is looked for where it can have been renamed: v1 lets a group change
    /// its name, but not its parent.
    pub(super) fn state(&mut self, id: CgroupId) -> State {
        // Each round renames one group of the path.
        for _ in 0..MAX_DEPTH {
            let Some(path) = self.peek(id) else {
                return State::Unknown;
            };
            match self.hierarchies.look(id, &path) {
                Look::Found(state) => {
                    self.see(id);
                    return state;
                }
                Look::Unreadable => return State::Unknown,
                Look::Missing => {}
            }
            if id.hierarchy == Hierarchy::Unified {
                return self.missing_state(id, &path);
            }
            let Some((former, renamed)) = self.renamed(id, &path) else {
                return self.missing_state(id, &path);
            };
            let hierarchies = &self.hierarchies;
            let moved = |id, path: &str| !hierarchies.is_at(id, path);
            rename(&mut self.paths, id.hierarchy, (&former, &renamed), &moved);
            self.renamings += 1;
        }
        State::Unknown
    }

    /// State of a group that the file systems do not have. It is gone if they had it, or would have it: otherwise it may be
    /// outside of a private namespace, and as long as a process is in it, it is.
    fn missing_state(&mut self, id: CgroupId, path: &str) -> State {
        let was_seen = self.paths.get(&id).is_some_and(|entry| entry.is_seen);
        if was_seen || self.hierarchies.see_all() {
            return State::Gone;
        }
        match self.members.has_any(path, Instant::now()) {
            Some(true) => State::Populated,
            Some(false) => State::Gone,
            None => State::Unknown,
        }
    }

    /// The file systems have the group.
    fn see(&mut self, id: CgroupId) {
        if let Some(entry) = self.paths.get_mut(&id) {
            entry.is_seen = true;
        }
    }

    /// The former and the present path of the outermost group of a path that has another name now.
    fn renamed(&self, id: CgroupId, path: &str) -> Option<(Arc<str>, String)> {
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        ends.take(MAX_DEPTH).find_map(|end| {
            let (parent, _) = path[..end].rsplit_once('/')?;
            // Another group may have the former name.
            let mut known = self.ids_at(id.hierarchy, &path[..end]);
            let name = known.find_map(|known| {
                let moved = !self.hierarchies.is_at(known, &path[..end]);
                moved.then(|| self.hierarchies.name_in(known, parent))?
            })?;
            Some((path[..end].into(), format!("{parent}/{name}")))
        })
    }

    fn ids_at(&self, hierarchy: Hierarchy, path: &str) -> impl Iterator<Item = CgroupId> {
        let is_at = move |(id, entry): &(&CgroupId, &Entry)| id.hierarchy == hierarchy && *entry.path == *path;
        self.paths.iter().filter(is_at).map(|(id, _)| *id)
    }

    /// Adds all groups of the file systems.
    pub(super) fn scan(&mut self, now: Instant) {
        let begun = cpu_time();
        self.hierarchies.read(|id, path| {
            make_room(&mut self.paths);
            // The path in the event of the creation is complete; one from a scan may start at the reader's own group.
            let entry = self.paths.entry(id).or_insert(Entry {
                path,
                used: now,
                is_seen: true,
            });
            entry.is_seen = true;
        });
        let took = cpu_time().saturating_sub(begun);
        self.scan_again = Some(now + (took * REST).clamp(RESCAN, LATEST));
    }

    /// Forgets groups that were not used since `before` and that are gone: nothing of theirs is to come any more. A node on
    /// which containers come and go would otherwise fill the cache with them.
    pub(super) fn evict(&mut self, before: Instant, now: Instant) {
        let unused = self.paths.iter().filter(|(_, entry)| entry.used < before);
        let mut unused: Vec<(Instant, CgroupId)> = unused.map(|(id, entry)| (entry.used, *id)).collect();
        unused.sort_unstable();
        for (_, id) in unused.into_iter().take(MAX_CHECKS) {
            let Some(path) = self.peek(id) else { continue };
            let is_gone = match self.hierarchies.look(id, &path) {
                Look::Found(_) | Look::Unreadable => false,
                // A renaming is an event, by which it would have another path.
                Look::Missing if self.hierarchies.see_all() => true,
                Look::Missing => self.missing_state(id, &path) == State::Gone,
            };
            if is_gone {
                self.paths.remove(&id);
            } else if let Some(entry) = self.paths.get_mut(&id) {
                // The next ones have their turn first.
                entry.used = now;
            }
        }
        if self.paths.capacity() > 4 * self.paths.len().max(64) {
            self.paths.shrink_to(2 * self.paths.len());
        }
    }

    /// The group's path. Scans for one that is not in the cache.
    pub(super) fn get(&mut self, id: CgroupId, now: Instant) -> Option<Arc<str>> {
        if !self.paths.contains_key(&id) {
            let due = self.scan_again.is_none_or(|due| now >= due);
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

    pub(super) fn kept(&self) -> usize {
        self.paths.len()
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

/// Makes room for one more path.
fn make_room(paths: &mut HashMap<CgroupId, Entry>) {
    if paths.len() >= MAX_PATHS {
        let owner = |_: &CgroupId, entry: &Entry| Some(Cgroup::from_path(&entry.path).outermost.unwrap_or_default());
        evict_fairly(paths, MAX_PATHS, owner, |entry| entry.used);
    }
}

/// Gives a group and those in it that have moved with it their present paths.
fn rename(
    paths: &mut HashMap<CgroupId, Entry>,
    hierarchy: Hierarchy,
    (former, present): (&str, &str),
    moved: &dyn Fn(CgroupId, &str) -> bool,
) {
    for (id, entry) in paths.iter_mut().filter(|(id, _)| id.hierarchy == hierarchy) {
        let rest = entry.path.strip_prefix(former);
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
        if let Some(rest) = rest.filter(|_| moved(*id, &entry.path)) {
            entry.path = format!("{present}{rest}").into();
        }
    }
}
