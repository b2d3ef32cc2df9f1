//! From the control groups that the kernel captured to the attributes of whom they belong to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Resolution;
use super::container::Container;
use super::known::{Containers, Names};
use super::resolve::list;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::cgroups::{CgroupId, Cgroups, Hierarchy};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::agent::ATTRIBUTION_UNKNOWN;
use accelscope_core::metric::{Attribute, CgroupOwner};
use accelscope_core::telemetry;

/// Most owners that are remembered; beyond, those go first that were asked for longest ago.
const MAX_OWNERS: usize = 8192;

/// Most new containers whose names are looked for although no reading names them yet.
const MAX_EXPECTED: usize = 1024;

/// Ids up to this are a hierarchy's root.
const ROOT: u64 = 1;

/// Owners by what the kernel captured.
#[derive(Debug)]
pub(super) struct Owners {
    cgroups: Cgroups,
    known: HashMap<Arc<CgroupOwner>, Entry>,
    expected: Vec<Arc<Cgroup>>,
    patience: Duration,
    unknown: opentelemetry::metrics::Counter<u64>,
    warned: bool,
}

#[derive(Debug)]
struct Entry {
    /// Nothing while it is still looked for.
    cgroup: Option<Arc<Cgroup>>,
    container: Option<Arc<Container>>,
    attributes: Option<Arc<Vec<Attribute>>>,
    first: Instant,
    used: Instant,
}

impl Owners {
    pub(super) fn new(cgroups: Cgroups, patience: Duration) -> Self {
        Self {
            cgroups,
            known: HashMap::new(),
            expected: Vec::new(),
            patience,
            unknown: telemetry::counter(&ATTRIBUTION_UNKNOWN),
            warned: false,
        }
    }

    pub(super) fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Looks for the names of containers that have just come to be, while they are there to be found.
    pub(super) fn tend(&mut self, containers: &mut Containers, now: Instant) {
        let fresh = self.cgroups.fresh();
        let fresh = fresh.iter().map(|(_, path)| Cgroup::of_path(path));
        let contained = fresh.filter(|cgroup| cgroup.container_id.is_some() || cgroup.container_name.is_some());
        self.expected.extend(contained.map(Arc::new));
        self.expected.retain(|cgroup| !containers.expect(cgroup, now));
        self.expected.truncate(MAX_EXPECTED);
    }

    pub(super) fn resolve(
        &mut self,
        owner: &Arc<CgroupOwner>,
        processes: &Processes,
        containers: &mut Containers,
        now: Instant,
    ) -> Resolution {
        if !self.known.contains_key(owner) {
            super::make_room(&mut self.known, MAX_OWNERS, |entry| entry.used);
        }
        let first = self.known.get(owner).map_or(now, |entry| entry.first);
        let mut cgroup = self.known.get(owner).and_then(|entry| entry.cgroup.clone());
        if cgroup.is_none() {
            cgroup = self
                .find(owner, processes, now.duration_since(first) >= self.patience)
                .map(Arc::new);
        }
        let entry = self.known.entry(owner.clone()).or_insert(Entry {
            cgroup: None,
            container: None,
            attributes: None,
            first,
            used: now,
        });
        entry.used = now;
        let Some(cgroup) = cgroup else { return Resolution::Wait };
        entry.cgroup = Some(cgroup.clone());
        let container = if cgroup.is_contained() {
            match containers.get(&cgroup, now) {
                Names::Known(container) => Some(container),
                Names::Wait => return Resolution::Wait,
            }
        } else {
            None
        };
        let same = match (&entry.container, &container) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same {
            (entry.container, entry.attributes) = (container, None);
        }
        let Entry {
            container, attributes, ..
        } = entry;
        let make = || Arc::new(list(&owner.executable, &cgroup, container.as_deref(), owner.pid));
        Resolution::Known(attributes.get_or_insert_with(make).clone())
    }

    pub(super) fn forget(&mut self, before: Instant) {
        self.known.retain(|_, entry| entry.used >= before);
    }

    /// The path that says most; nothing while a better one may still be found.
    fn find(&mut self, owner: &CgroupOwner, processes: &Processes, at_last: bool) -> Option<Cgroup> {
        let ids = [(Hierarchy::Unified, owner.unified), (Hierarchy::Legacy, owner.legacy)];
        let ids = ids.into_iter().filter(|(_, id)| *id != 0);
        let ids: Vec<CgroupId> = ids.map(|(hierarchy, id)| CgroupId { hierarchy, id }).collect();
        let mut paths: Vec<Option<Arc<str>>> = ids.iter().map(|id| self.cgroups.path(*id)).collect();
        // The second look may have found the first one.
        for (path, id) in paths.iter_mut().zip(&ids).filter(|(path, _)| path.is_none()) {
            *path = self.cgroups.path(*id);
        }
        let known = paths.iter().flatten().map(|path| Cgroup::of_path(path));
        let best = known.max_by_key(Cgroup::tells).unwrap_or_default();
        let says_nothing = ids.iter().all(|id| id.id <= ROOT);
        if best.is_contained() || (paths.iter().all(Option::is_some) && !says_nothing) {
            return Some(best);
        }
        // While the process lives it says itself where it is.
        let alive = owner.process.filter(|process| processes.is_alive(*process));
        let told = alive.and_then(|process| {
            let told = processes.cgroup(process.pid).ok()?;
            processes.is_alive(process).then(|| Cgroup::parse(&told))
        });
        if let Some(told) = told {
            return Some(if told.tells() > best.tells() { told } else { best });
        }
        if paths.iter().all(Option::is_some) && !ids.is_empty() {
            return Some(best);
        }
        let lost = |id: &CgroupId| self.cgroups.path(*id).is_none() && self.cgroups.is_lost(*id);
        if !at_last && !ids.iter().all(lost) {
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
