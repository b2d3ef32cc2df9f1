//! Cache of the attributes of control groups that are looked at as a whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::containers::{ContainerCache, Names};
use super::resolution::{OwnerAttributes, Resolution};
use accelscope_core::budget::{Account, Budget, Purpose};
use accelscope_core::cgroup::Cgroup;

/// Most groups in the cache; the attributes of others are made anew each time.
const MAX_GROUPS: usize = 4096;

/// Bytes of a group in the cache, without its attributes.
const GROUP: usize = 600;

/// Groups with their attributes.
#[derive(Debug)]
pub(super) struct Groups {
    entries: HashMap<Arc<Cgroup>, Entry>,
    account: Account,
}

#[derive(Debug)]
struct Entry {
    /// As this node has it.
    on_node: Arc<Cgroup>,
    attributes: OwnerAttributes,
    used: Instant,
}

impl Groups {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            entries: HashMap::new(),
            account: budget.account(Purpose::Names),
        }
    }

    pub(super) fn resolve(&mut self, group: &Arc<Cgroup>, containers: &mut ContainerCache, now: Instant) -> Resolution {
        let new = |containers: &ContainerCache| Entry {
            on_node: Arc::new((**group).clone().on_node(containers.own())),
            attributes: OwnerAttributes::default(),
            used: now,
        };
        if let Some(entry) = self.entries.get_mut(group) {
            return entry.resolve(containers, now);
        }
        let mut entry = new(containers);
        let resolution = entry.resolve(containers, now);
        if self.entries.len() < MAX_GROUPS && self.account.room() > self.size() {
            self.entries.insert(Arc::clone(group), entry);
            self.account.set(self.size());
        }
        resolution
    }

    /// Removes what was not used since `before`.
    pub(super) fn evict(&mut self, before: Instant) {
        self.entries.retain(|_, entry| entry.used >= before);
        self.account.set(self.size());
    }

    fn size(&self) -> u64 {
        // All have about the same attributes: some names.
        let each = self.entries.values().next().map_or(0, |entry| entry.attributes.size());
        (self.entries.len() * (GROUP + each)) as u64
    }
}

impl Entry {
    fn resolve(&mut self, containers: &mut ContainerCache, now: Instant) -> Resolution {
        self.used = now;
        match containers.names(&self.on_node, now) {
            Names::Known(container) => {
                Resolution::Known(self.attributes.get(None, &self.on_node, container, None, None))
            }
            Names::Wait => Resolution::Wait,
        }
    }
}
