//! Cache of the owners that the kernel captured as ids of control groups.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::containers::{ContainerCache, Names};
use super::resolution::{OwnerAttributes, Resolution};
use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::evict_fairly;
use accelscope_core::host::cgroups::{CgroupId, Cgroups};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::agent::ATTRIBUTION_UNKNOWN;
use accelscope_core::metric::{CgroupOwner, ProcessKey};
use accelscope_core::telemetry;

/// Most owners in the cache, where memory allows it; beyond, pods, containers and users with more than their share lose those
/// that were used longest ago.
const MAX_OWNERS: usize = 8192;

/// Bytes of an owner in the cache, without its attributes.
const OWNER: usize = 700;

/// Most new containers whose names are looked up although no reading belongs to them yet.
const MAX_PREFETCHED: usize = 1024;

/// Owners by what the kernel captured.
#[derive(Debug)]
pub(super) struct CgroupOwners {
    cgroups: Cgroups,
    entries: HashMap<Arc<CgroupOwner>, Entry>,
    /// [`Cgroups::renamings`] as of the entries.
    renamings: u64,
    /// New containers that still lack names.
    prefetched: Vec<Arc<Cgroup>>,
    timeout: Duration,
    unknown: opentelemetry::metrics::Counter<u64>,
    warned: bool,
    account: Account,
}

#[derive(Debug)]
struct Entry {
    /// Nothing while it is still looked for.
    cgroup: Option<Arc<Cgroup>>,
    /// The real user of an owner that is one process.
    user: Option<u32>,
    attributes: OwnerAttributes,
    first: Instant,
    used: Instant,
}

impl CgroupOwners {
    /// A group's path is looked for as long as `timeout`.
    pub(super) fn new(budget: &Budget, cgroups: Cgroups, timeout: Duration) -> Self {
        Self {
            cgroups,
            entries: HashMap::new(),
            renamings: 0,
            prefetched: Vec::new(),
            timeout,
            unknown: telemetry::counter(&ATTRIBUTION_UNKNOWN),
            warned: false,
            account: budget.account(Purpose::Names),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.entries.len() + self.prefetched.len()
    }

    pub(super) fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Looks up the names of new containers while their files exist.
    pub(super) fn prefetch_names(&mut self, containers: &mut ContainerCache, now: Instant) {
        let renamings = self.cgroups.renamings();
        if std::mem::replace(&mut self.renamings, renamings) != renamings {
            self.entries.clear();
        }
        let new = self.cgroups.take_new();
        let new = new.iter().filter_map(|(id, _)| {
            let path = self.cgroups.path_within(*id)?;
            let cgroup = Cgroup::of_owned([(&*path, self.cgroups.delegated(*id, &path))]);
            Some(cgroup.on_node(containers.own()))
        });
        let contained = new.filter(|cgroup| cgroup.container_id.is_some() || cgroup.container_name.is_some());
        self.prefetched.extend(contained.map(Arc::new));
        self.prefetched.retain(|cgroup| !containers.prefetch(cgroup, now));
        self.prefetched.truncate(MAX_PREFETCHED);
    }

    /// Whether new containers still lack names.
    pub(super) fn is_prefetching(&self) -> bool {
        !self.prefetched.is_empty()
    }

    pub(super) fn resolve(
        &mut self,
        owner: &Arc<CgroupOwner>,
        processes: &Processes,
        containers: &mut ContainerCache,
        now: Instant,
    ) -> Resolution {
        let count = self.entries.len();
        if (count >= MAX_OWNERS || count.is_multiple_of(MAX_OWNERS / 16)) && !self.entries.contains_key(owner) {
            self.make_room(1);
        }
        let first = self.entries.get(owner).map_or(now, |entry| entry.first);
        let mut cgroup = self.entries.get(owner).and_then(|entry| entry.cgroup.clone());
        let mut user = None;
        if cgroup.is_none() {
            let found = self.find(owner, processes, now.duration_since(first) >= self.timeout);
            cgroup = found.map(|cgroup| Arc::new(cgroup.on_node(containers.own())));
            user = user_of(owner, processes);
        }
        let entry = self.entries.entry(owner.clone()).or_insert_with(|| Entry {
            cgroup: None,
            user: None,
            attributes: OwnerAttributes::default(),
            first,
            used: now,
        });
        entry.used = now;
        entry.user = entry.user.or(user);
        let Some(cgroup) = cgroup else { return Resolution::Wait };
        entry.cgroup = Some(cgroup.clone());
        match containers.names(&cgroup, now) {
            Names::Known(container) => Resolution::Known(entry.attributes.get(
                Some(&owner.executable),
                &cgroup,
                container,
                owner.pid,
                entry.user,
            )),
            Names::Wait => Resolution::Wait,
        }
    }

    /// Removes what was not used since `before`.
    pub(super) fn evict(&mut self, before: Instant) {
        self.entries.retain(|_, entry| entry.used >= before);
        self.cgroups.evict(before);
        self.make_room(0);
        if self.entries.capacity() > 4 * self.entries.len().max(64) {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// Makes room for so many more owners.
    fn make_room(&mut self, more: usize) {
        let size = |entries: &HashMap<_, Entry>| -> usize {
            let sizes = entries.values().map(|entry| OWNER + entry.attributes.size());
            sizes.sum()
        };
        let (bytes, before) = (size(&self.entries), self.entries.len());
        let fitting = self.account.room() / (bytes / before.max(1)).max(OWNER) as u64;
        let most = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(64, MAX_OWNERS);
        if before + more > most {
            let owner = |owner: &Arc<CgroupOwner>, entry: &Entry| {
                let outermost = entry.cgroup.as_ref().and_then(|cgroup| cgroup.outermost.clone());
                Some(outermost.unwrap_or_else(|| format!("{} {}", owner.unified, owner.legacy)))
            };
            evict_fairly(&mut self.entries, most, owner, |entry| entry.used);
            count_forgotten("owner", (before - self.entries.len()) as u64);
        }
        self.account.set(size(&self.entries) as u64);
    }

    /// The innermost container that any of the owner's groups names, those of the hierarchies that the kernel did not capture
    /// included while the process lives; nothing while an inner one may still be found, but for the `last` attempt.
    fn find(&mut self, owner: &CgroupOwner, processes: &Processes, last: bool) -> Option<Cgroup> {
        let ids = [CgroupId::unified(owner.unified), CgroupId::captured(owner.legacy)];
        let ids: Vec<CgroupId> = ids.into_iter().filter(|id| id.id != 0).collect();
        let mut captured: Vec<Option<Arc<str>>> = ids.iter().map(|id| self.cgroups.path_within(*id)).collect();
        // The scan for the second may have found the first one.
        for (path, id) in captured.iter_mut().zip(&ids).filter(|(path, _)| path.is_none()) {
            *path = self.cgroups.path_within(*id);
        }
        let current = owner.process.and_then(|process| groups_of(process, processes));
        let known = captured
            .iter()
            .zip(&ids)
            .filter_map(|(path, id)| Some((path.as_deref()?, *id)));
        let paths = known.map(|(path, id)| (path, self.cgroups.delegated(id, path)));
        let current_paths = self.cgroups.owned(current.as_deref().unwrap_or_default());
        let best = Cgroup::of_owned(paths.chain(current_paths));
        let is_complete = captured.iter().all(Option::is_some) && !ids.is_empty();
        if current.is_some() || best.is_contained() || is_complete {
            return Some(best);
        }
        let missing = |id: &CgroupId| self.cgroups.path(*id).is_none() && self.cgroups.is_missing(*id);
        if !last && !ids.iter().all(missing) {
            return None;
        }
        self.unknown.add(1, &[]);
        self.warn_if_hidden();
        Some(best)
    }

    fn warn_if_hidden(&mut self) {
        if !self.warned && !self.cgroups.see_all() {
            self.warned = true;
            tracing::warn!(
                "only a part of the host's control groups is visible, so that readings of short-lived processes may lack \
                 their container; in a pod, mount the host's /sys read-only under host.root"
            );
        }
    }
}

/// The real user of an owner that is one process; nothing where that has ended, or where there may be several with their users.
fn user_of(owner: &CgroupOwner, processes: &Processes) -> Option<u32> {
    let process = owner.process.filter(|_| owner.alone)?;
    let user = processes.real_user(process.pid);
    // Last, so that the above is of that process.
    user.filter(|_| processes.is_alive(process))
}

/// The control groups of a process that lives, in all hierarchies.
fn groups_of(process: ProcessKey, processes: &Processes) -> Option<String> {
    let text = processes.cgroup(process.pid).ok()?;
    // Last, so that the above is of that process.
    processes.is_alive(process).then_some(text)
}
