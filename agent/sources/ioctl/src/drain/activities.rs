//! The totals of all owners, of which there are only so many.

use std::collections::HashMap;
use std::time::Instant;

use super::activity::{Activity, ActivityKey};
use super::owner;
use crate::device_table::DeviceId;
use accelscope_core::metric::Timestamp;

/// Limit of activities.
const MAX_ACTIVITIES: usize = 8192;

/// Limit of control groups among their owners: less than half of the containers of which attribution keeps the names, and
/// as many as have series of their own by default (`limits.series_per_instrument`). A node has 110 pods by default.
pub(super) const MAX_GROUPS: usize = 2000;

/// Ids of a control group in both hierarchies.
type Group = (u64, u64);

/// Activities by owner and device. One that is there stays until it has ended and was shown for a while: what others do
/// meanwhile goes into one activity of their device, [`ActivityKey::of_others`].
#[derive(Debug, Default)]
pub(super) struct Activities {
    all: HashMap<ActivityKey, Activity>,
    /// Number of activities of each group.
    groups: HashMap<Group, usize>,
}

impl ActivityKey {
    /// All owners of a device that have no totals of their own.
    pub(super) fn of_others(device: DeviceId) -> Self {
        let owner = owner::others();
        Self { owner, device }
    }

    fn group(&self) -> Group {
        (self.owner.unified, self.owner.legacy)
    }
}

impl Activities {
    /// Makes an activity unless it is there. Returns whether it is.
    pub(super) fn admit(&mut self, key: &ActivityKey, since: Timestamp, now: Instant) -> bool {
        if self.all.contains_key(key) {
            return true;
        }
        let group = key.group();
        let is_known = self.groups.contains_key(&group);
        let has_room = self.all.len() < MAX_ACTIVITIES && (is_known || self.groups.len() < MAX_GROUPS);
        if !has_room && !owner::is_others(&key.owner) {
            return false;
        }
        *self.groups.entry(group).or_default() += 1;
        self.all.insert(key.clone(), Activity::new(since, now));
        true
    }

    pub(super) fn remove(&mut self, key: &ActivityKey) {
        if self.all.remove(key).is_none() {
            return;
        }
        let group = key.group();
        if let Some(count) = self.groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&group);
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: &ActivityKey) -> Option<&mut Activity> {
        self.all.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ActivityKey, &Activity)> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&ActivityKey, &mut Activity)> {
        self.all.iter_mut()
    }
}
