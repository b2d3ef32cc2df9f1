//! What has been learned, within bounds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CgroupId;
use super::hierarchy::Hierarchies;

/// Most groups that are remembered, some 200 bytes each; beyond, those go first that were asked for longest ago.
const MAX_KNOWN: usize = 32_768;

/// Most ids that are remembered as not to be found.
const MAX_LOST: usize = 4096;

/// Most groups that wait for somebody to ask for what is new.
const MAX_FRESH: usize = 4096;

/// Least time between two looks for an id that is not known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Known {
    paths: HashMap<CgroupId, Entry>,
    /// Looked for after they were made, and not found.
    lost: HashSet<CgroupId>,
    fresh: Vec<CgroupId>,
    scanned: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    path: Arc<str>,
    used: Instant,
}

impl Known {
    pub(super) fn learn(&mut self, id: CgroupId, path: Arc<str>, now: Instant) {
        self.make_room();
        self.lost.remove(&id);
        self.paths.insert(id, Entry { path, used: now });
        self.is_fresh(id);
    }

    pub(super) fn scan(&mut self, hierarchies: &mut Hierarchies, now: Instant) {
        self.scanned = Some(now);
        hierarchies.read(|id, path| {
            self.make_room();
            // A path that was told at the event is whole, where one that is read may begin at the reader's own group.
            self.paths.entry(id).or_insert(Entry { path, used: now });
        });
    }

    pub(super) fn path(&mut self, id: CgroupId, hierarchies: &mut Hierarchies, now: Instant) -> Option<Arc<str>> {
        if !self.paths.contains_key(&id) {
            let due = self.scanned.is_none_or(|last| now.duration_since(last) >= LOOK_AGAIN);
            if !due || self.lost.contains(&id) {
                return None;
            }
            self.scan(hierarchies, now);
            if !self.paths.contains_key(&id) {
                if self.lost.len() >= MAX_LOST {
                    self.lost.clear();
                }
                self.lost.insert(id);
            }
        }
        let entry = self.paths.get_mut(&id)?;
        entry.used = now;
        Some(entry.path.clone())
    }

    pub(super) fn name(&mut self, id: CgroupId, hierarchies: &mut Hierarchies, now: Instant) {
        if self.path(id, hierarchies, now).is_some() {
            self.is_fresh(id);
        }
    }

    pub(super) fn peek(&self, id: CgroupId) -> Option<Arc<str>> {
        self.paths.get(&id).map(|entry| entry.path.clone())
    }

    pub(super) fn is_lost(&self, id: CgroupId) -> bool {
        self.lost.contains(&id)
    }

    pub(super) fn fresh(&mut self) -> Vec<(CgroupId, Arc<str>)> {
        let fresh = std::mem::take(&mut self.fresh);
        let path = |id: CgroupId| Some((id, self.peek(id)?));
        fresh.into_iter().filter_map(path).collect()
    }

    fn is_fresh(&mut self, id: CgroupId) {
        if self.fresh.len() < MAX_FRESH && self.fresh.last() != Some(&id) {
            self.fresh.push(id);
        }
    }

    /// Drops the quarter that was used longest ago.
    fn make_room(&mut self) {
        if self.paths.len() < MAX_KNOWN {
            return;
        }
        let mut times: Vec<Instant> = self.paths.values().map(|entry| entry.used).collect();
        times.sort_unstable();
        let oldest = times[times.len() / 4];
        let mut surplus = times.len() / 4 + 1;
        self.paths.retain(|_, entry| {
            let goes = surplus > 0 && entry.used <= oldest;
            surplus -= usize::from(goes);
            !goes
        });
    }
}
