//! Cache of the containers' names, with the schedule of further lookups.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::container::Container;
use super::engines::Engines;
use super::nameless::Nameless;
use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::evict_fairly;
use accelscope_core::metric::catalogue::agent::ATTRIBUTION_UNNAMED;
use accelscope_core::telemetry;

/// How long a container may stay without its names before its readings go out without them.
pub(super) const NAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two lookups within [`NAME_TIMEOUT`]. A runtime writes its bundle before the first process starts; the links
/// to the logs are made right after.
const RETRY: Duration = Duration::from_millis(500);

/// Until the first lookup afterwards; each further one takes twice as long.
const LATE_RETRY: Duration = Duration::from_mins(1);

/// Most lookups afterwards: an hour's.
const MAX_LATE_RETRIES: u32 = 6;

/// Most containers in the cache, where memory allows it; beyond, pods and outermost containers with more than their share lose
/// those that were used longest ago. A node has 110 pods by default.
const MAX_CONTAINERS: usize = 4096;

/// Bytes of a container in the cache: its control group and its names.
const CONTAINER: u64 = 1400;

/// Names of a process' container.
pub(super) enum Names {
    /// As complete as they get for now; nothing for a process outside any container.
    Known(Option<Arc<Container>>),
    /// Still looked for.
    Wait,
}

/// Containers by their cgroup.
#[derive(Debug)]
pub(super) struct ContainerCache {
    engines: Engines,
    entries: HashMap<Arc<Cgroup>, Entry>,
    timeout: Duration,
    nameless: Nameless,
    unnamed: opentelemetry::metrics::Counter<u64>,
    account: Account,
}

#[derive(Debug)]
struct Entry {
    container: Arc<Container>,
    first: Instant,
    /// Nothing where no further lookup is worth it.
    next: Option<Instant>,
    late_retries: u32,
    counted: bool,
    used: Instant,
}

impl ContainerCache {
    /// Readings wait for names as long as `timeout`.
    pub(super) fn new(budget: &Budget, engines: Engines, timeout: Duration) -> Self {
        Self {
            engines,
            entries: HashMap::new(),
            timeout,
            nameless: Nameless::default(),
            unnamed: telemetry::counter(&ATTRIBUTION_UNNAMED),
            account: budget.account(Purpose::Names),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.entries.len()
    }

    /// The container that this node is, if it is one.
    pub(super) fn own(&self) -> Option<&str> {
        self.engines.own()
    }

    /// The names of the container that `cgroup` is in.
    pub(super) fn names(&mut self, cgroup: &Arc<Cgroup>, now: Instant) -> Names {
        if !cgroup.is_contained() {
            return Names::Known(None);
        }
        let timeout = self.timeout;
        self.make_room(cgroup);
        let entry = refresh(&mut self.entries, &mut self.engines, cgroup, now);
        if entry.next.is_some() && now.duration_since(entry.first) < timeout {
            return Names::Wait;
        }
        if !entry.counted && !entry.container.is_named() {
            entry.counted = true;
            self.unnamed.add(1, &[]);
            self.nameless.add(cgroup, now);
        }
        Names::Known(Some(entry.container.clone()))
    }

    /// Looks up the names of a container that may be asked for later. Whether no further lookup is needed.
    pub(super) fn prefetch(&mut self, cgroup: &Arc<Cgroup>, now: Instant) -> bool {
        self.make_room(cgroup);
        let entry = refresh(&mut self.entries, &mut self.engines, cgroup, now);
        entry.next.is_none() || now.duration_since(entry.first) >= NAME_TIMEOUT
    }

    /// Writes one line to the log for all containers that turned out to have no name, when that is due. Where there is only
    /// one reading, that is at once.
    pub(super) fn log_nameless(&mut self, now: Instant) {
        if self.nameless.is_due(self.timeout.is_zero(), now) {
            let without = self
                .entries
                .values()
                .filter(|entry| entry.counted && !entry.container.is_named());
            self.nameless.log(&mut self.engines, without.count(), now);
        }
    }

    /// Removes what was not used since `before`.
    pub(super) fn evict(&mut self, before: Instant) {
        self.entries.retain(|_, entry| entry.used >= before);
        if self.entries.capacity() > 4 * self.entries.len().max(64) {
            self.entries.shrink_to(2 * self.entries.len());
        }
        self.account.set(self.entries.len() as u64 * CONTAINER);
    }

    /// Makes room for a container that is not in the cache.
    fn make_room(&mut self, cgroup: &Arc<Cgroup>) {
        if self.entries.contains_key(cgroup) {
            return;
        }
        let fitting = self.account.room() / CONTAINER;
        let most = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(64, MAX_CONTAINERS);
        if self.entries.len() >= most {
            let before = self.entries.len();
            let owner = |cgroup: &Arc<Cgroup>, _: &Entry| Some(cgroup.outermost.clone().unwrap_or_default());
            evict_fairly(&mut self.entries, most, owner, |entry| entry.used);
            count_forgotten("container", (before - self.entries.len()) as u64);
        }
        self.account.set((self.entries.len() as u64 + 1) * CONTAINER);
    }
}

/// The container's entry, looked up anew where that is due.
fn refresh<'a>(
    entries: &'a mut HashMap<Arc<Cgroup>, Entry>,
    engines: &mut Engines,
    cgroup: &Arc<Cgroup>,
    now: Instant,
) -> &'a mut Entry {
    let entry = entries.entry(cgroup.clone()).or_insert_with(|| Entry {
        container: Arc::default(),
        first: now,
        next: Some(now),
        late_retries: 0,
        counted: false,
        used: now,
    });
    entry.used = now;
    if entry.next.is_some_and(|next| next <= now) {
        entry.look_up(engines, cgroup, now);
    }
    entry
}

impl Entry {
    fn look_up(&mut self, engines: &mut Engines, cgroup: &Cgroup, now: Instant) {
        let found = engines.find(cgroup, now);
        let complete = found.is_complete();
        // The bundle of a container that ends is removed with it; the names that were read before stay.
        if (complete || !self.container.is_named()) && *self.container != found {
            self.container = Arc::new(found);
        }
        self.next = if complete {
            None
        } else if now.duration_since(self.first) < NAME_TIMEOUT {
            Some(now + RETRY)
        } else {
            let pause = LATE_RETRY * (1 << self.late_retries.min(MAX_LATE_RETRIES));
            self.late_retries += 1;
            (self.late_retries <= MAX_LATE_RETRIES).then(|| now + pause)
        };
    }
}
