//! The containers that processes were found in, and when to look for their names again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::container::Container;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::agent::ATTRIBUTION_UNNAMED;
use accelscope_core::telemetry;

/// How long a container may stay without its names before its readings go out without them.
pub(super) const WAIT: Duration = Duration::from_secs(5);

/// Between two looks within [`WAIT`]. A runtime writes its bundle before the first process starts, the kubelet makes its
/// links right after.
const SOON: Duration = Duration::from_millis(500);

/// Between two looks afterwards.
const LATER: Duration = Duration::from_mins(1);

/// Most looks afterwards: an hour's.
const MAX_LATER: u32 = 60;

/// Most containers that are remembered; beyond, those go first that were asked for longest ago. A node has 110 pods by
/// default.
const MAX_CONTAINERS: usize = 4096;

/// Where the names of a container stand.
pub(super) enum Names {
    /// As good as they get for now.
    Known(Arc<Container>),
    /// Still looked for.
    Wait,
}

/// Containers by their cgroup.
#[derive(Debug)]
pub(super) struct Containers {
    roots: HostRoots,
    known: HashMap<Arc<Cgroup>, Entry>,
    wait: Duration,
    unnamed: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug)]
struct Entry {
    container: Arc<Container>,
    first: Instant,
    /// Nothing where no further look is worth it.
    next: Option<Instant>,
    later: u32,
    counted: bool,
    used: Instant,
}

impl Containers {
    /// Names are waited for as long as `wait`.
    pub(super) fn new(roots: &HostRoots, wait: Duration) -> Self {
        Self {
            roots: roots.clone(),
            known: HashMap::new(),
            wait,
            unnamed: telemetry::counter(&ATTRIBUTION_UNNAMED),
        }
    }

    /// The names of the container that `cgroup` is in.
    pub(super) fn get(&mut self, cgroup: &Arc<Cgroup>, now: Instant) -> Names {
        let wait = self.wait;
        let entry = look(&mut self.known, &self.roots, cgroup, now);
        let waiting = now.duration_since(entry.first) < wait;
        if waiting && entry.next.is_some() {
            return Names::Wait;
        }
        if !entry.counted && !entry.container.is_named() {
            entry.counted = true;
            self.unnamed.add(1, &[]);
            let container = entry.container.id.as_deref().unwrap_or_default();
            let pod = entry.container.pod_uid.as_deref().unwrap_or_default();
            tracing::warn!(
                container,
                pod,
                "no name of this container is on the node: its readings go out with its id alone; in a pod, mount the \
                 host's /run/containerd (or its engine's state) and /var/log read-only under host.root",
            );
        }
        Names::Known(entry.container.clone())
    }

    /// Looks for the names of one that may be asked for later. Whether that is done.
    pub(super) fn expect(&mut self, cgroup: &Arc<Cgroup>, now: Instant) -> bool {
        let entry = look(&mut self.known, &self.roots, cgroup, now);
        entry.next.is_none() || now.duration_since(entry.first) >= WAIT
    }

    /// Forgets what was not asked for since `before`.
    pub(super) fn forget(&mut self, before: Instant) {
        self.known.retain(|_, entry| entry.used >= before);
    }
}

fn look<'a>(
    known: &'a mut HashMap<Arc<Cgroup>, Entry>,
    roots: &HostRoots,
    cgroup: &Arc<Cgroup>,
    now: Instant,
) -> &'a mut Entry {
    if !known.contains_key(cgroup) {
        super::make_room(known, MAX_CONTAINERS, |entry| entry.used);
    }
    let entry = known.entry(cgroup.clone()).or_insert_with(|| Entry {
        container: Arc::default(),
        first: now,
        next: Some(now),
        later: 0,
        counted: false,
        used: now,
    });
    entry.used = now;
    if entry.next.is_some_and(|next| next <= now) {
        entry.look(roots, cgroup, now);
    }
    entry
}

impl Entry {
    fn look(&mut self, roots: &HostRoots, cgroup: &Cgroup, now: Instant) {
        let found = Container::look_up(roots, cgroup);
        let complete = found.is_complete();
        // A container that ends takes its bundle along, and must not lose its names with it.
        if (complete || !self.container.is_named()) && *self.container != found {
            self.container = Arc::new(found);
        }
        self.next = if complete {
            None
        } else if now.duration_since(self.first) < WAIT {
            Some(now + SOON)
        } else {
            self.later += 1;
            (self.later <= MAX_LATER).then(|| now + LATER)
        };
    }
}
