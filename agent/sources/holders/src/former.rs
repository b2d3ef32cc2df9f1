//! Counters of groups that hold no accelerator any more.
//!
//! A unit that is started again has the same name and a new group, which counts from 0. Its totals go on, also where a look
//! fell into the time between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::cgroup::Cgroup;
use accelscope_core::evict_fairly;

use super::group::Group;

/// For how long one is kept after the last look at it; who comes back later begins anew.
const KEPT: Duration = Duration::from_mins(10);
/// Most that are kept. Beyond, those go that were looked at longest ago, of whoever has the most.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Former {
    groups: HashMap<Arc<Cgroup>, (Instant, Group)>,
}

impl Former {
    /// One that was never looked at has no counters.
    pub(super) fn keep(&mut self, mut group: Group, now: Instant) {
        let Some(looked) = group.rest().filter(|looked| is_recent(*looked, now)) else {
            return;
        };
        let owner = |cgroup: &Arc<Cgroup>, _: &_| Some(cgroup.outermost.clone().unwrap_or_default());
        evict_fairly(&mut self.groups, MOST, owner, |(looked, _)| *looked);
        self.groups.insert(group.cgroup.clone(), (looked, group));
    }

    /// The group of this name, which holds again.
    pub(super) fn take(&mut self, cgroup: &Arc<Cgroup>, now: Instant) -> Option<Group> {
        let (looked, group) = self.groups.remove(cgroup)?;
        is_recent(looked, now).then_some(group)
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.groups.retain(|_, (looked, _)| is_recent(*looked, now));
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.groups.len()
    }
}

fn is_recent(looked: Instant, now: Instant) -> bool {
    now.duration_since(looked) < KEPT
}
