//! From a process to the attributes of whom it belongs to.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::container::Container;
use super::known::{Containers, Names, WAIT};
use super::owners::Owners;
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Attribute, CgroupOwner, ProcessKey, key};

/// Most processes that are remembered, about 300 bytes each; beyond, those go first that were asked for longest ago.
pub(super) const MAX_PROCESSES: usize = 8192;

/// How often a process is looked at again: it may have become another program, or been moved to another cgroup.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// How long what nobody asks for is remembered.
const FORGET: Duration = Duration::from_mins(15);

/// How processes are shown (`[attribution]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Each process by itself (`process.pid`), and not only what it runs and where.
    pub per_process: bool,
    /// How long readings are withheld while their container's names are not known yet. Zero for a single look, which
    /// has no later one to name them in.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            per_process: false,
            patience: WAIT,
        }
    }
}

/// Whose a reading is.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// These attributes say it.
    Known(Arc<Vec<Attribute>>),
    /// Its container's names are still looked for, for 5 s at most.
    Wait,
    /// It was gone before anything could be learned of it.
    Unknown,
}

/// Knows the processes that readings belong to.
///
/// A process is read when it is first asked for and then once a minute; one that has ended stays known as it was. What
/// nobody asked for in 15 minutes is forgotten.
#[derive(Debug)]
pub struct Attribution {
    processes: Processes,
    settings: Settings,
    known: HashMap<ProcessKey, Known>,
    containers: Containers,
    owners: Owners,
    tidied: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    executable: String,
    cgroup: Arc<Cgroup>,
    /// What the attributes below were made of.
    container: Option<Arc<Container>>,
    without_pid: Option<Arc<Vec<Attribute>>>,
    with_pid: Option<Arc<Vec<Attribute>>>,
    looked: Instant,
    used: Instant,
}

impl Attribution {
    /// Of the host.
    pub fn new(roots: &HostRoots, settings: Settings) -> Self {
        Self {
            processes: Processes::new(roots),
            settings,
            known: HashMap::new(),
            containers: Containers::new(roots, settings.patience),
            owners: Owners::new(Cgroups::new(roots), settings.patience),
            tidied: None,
        }
    }

    /// Whose `process` is. `always_pid` adds its pid whatever the settings say.
    pub fn resolve(&mut self, process: ProcessKey, always_pid: bool, now: Instant) -> Resolution {
        self.tidy(now);
        if !self.refresh(process, now) {
            return Resolution::Unknown;
        }
        let Some(known) = self.known.get_mut(&process) else {
            return Resolution::Unknown;
        };
        known.used = now;
        let container = if known.cgroup.is_contained() {
            match self.containers.get(&known.cgroup, now) {
                Names::Known(container) => Some(container),
                Names::Wait => return Resolution::Wait,
            }
        } else {
            None
        };
        Resolution::Known(known.attributes(process, container, always_pid || self.settings.per_process))
    }

    /// Whose that is which the kernel captured.
    pub fn resolve_cgroup(&mut self, owner: &Arc<CgroupOwner>, now: Instant) -> Resolution {
        self.tidy(now);
        self.owners.resolve(owner, &self.processes, &mut self.containers, now)
    }

    /// The host's control groups, for whoever is told of new ones.
    pub fn cgroups(&self) -> Cgroups {
        self.owners.cgroups().clone()
    }

    /// Looks for the names of containers that have just come to be: they may be gone when a reading names them.
    pub fn tend(&mut self, now: Instant) {
        self.owners.tend(&mut self.containers, now);
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self, process: ProcessKey) -> bool {
        self.processes.is_alive(process)
    }

    /// Reads the process where that is due. Whether anything is known of it.
    fn refresh(&mut self, process: ProcessKey, now: Instant) -> bool {
        let known = self.known.get(&process);
        if known.is_some_and(|known| now.duration_since(known.looked) < LOOK_AGAIN) {
            return true;
        }
        let read = self.read(process);
        match (self.known.get_mut(&process), read) {
            (Some(known), Ok((executable, cgroup))) => known.now_is(executable, cgroup, now),
            (Some(known), Err(_)) => known.looked = now,
            (None, Ok((executable, cgroup))) => {
                super::make_room(&mut self.known, MAX_PROCESSES, |known| known.used);
                self.known.insert(process, Known::new(executable, cgroup, now));
            }
            (None, Err(error)) => {
                tracing::debug!(pid = process.pid, %error, "a process was gone before its reading could be attributed");
                return false;
            }
        }
        true
    }

    fn read(&self, process: ProcessKey) -> io::Result<(String, Cgroup)> {
        let pid = process.pid;
        // The kernel's name of it only where its executable may not be seen, or where a kernel thread has none.
        let executable = self
            .processes
            .executable_name(pid)
            .or_else(|_| self.processes.command_name(pid))?;
        let cgroup = Cgroup::parse(&self.processes.cgroup(pid)?);
        // Last, so that all of the above is of that process: a reused pid has a later start. A zombie keeps its pid, but
        // has lost its executable and its cgroup.
        if self.processes.is_alive(process) {
            Ok((executable, cgroup))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn tidy(&mut self, now: Instant) {
        let due = self
            .tidied
            .is_none_or(|tidied| now.duration_since(tidied) >= LOOK_AGAIN);
        if let (true, Some(before)) = (due, now.checked_sub(FORGET)) {
            self.known.retain(|_, known| known.used >= before);
            self.containers.forget(before);
            self.owners.forget(before);
        }
        if due {
            self.tidied = Some(now);
        }
    }
}

impl Known {
    fn new(executable: String, cgroup: Cgroup, now: Instant) -> Self {
        Self {
            executable,
            cgroup: Arc::new(cgroup),
            container: None,
            without_pid: None,
            with_pid: None,
            looked: now,
            used: now,
        }
    }

    fn now_is(&mut self, executable: String, cgroup: Cgroup, now: Instant) {
        if self.executable == executable && *self.cgroup == cgroup {
            self.looked = now;
        } else {
            *self = Self::new(executable, cgroup, now);
        }
    }

    /// The same list as last time, unless the container has got its names since.
    fn attributes(&mut self, process: ProcessKey, container: Option<Arc<Container>>, pid: bool) -> Arc<Vec<Attribute>> {
        let same = match (&self.container, &container) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same {
            (self.container, self.without_pid, self.with_pid) = (container, None, None);
        }
        let Self {
            executable,
            cgroup,
            container,
            without_pid,
            with_pid,
            ..
        } = self;
        let slot = if pid { with_pid } else { without_pid };
        let make = || {
            Arc::new(list(
                executable,
                cgroup,
                container.as_deref(),
                pid.then_some(process.pid),
            ))
        };
        slot.get_or_insert_with(make).clone()
    }
}

pub(super) fn list(
    executable: &str,
    cgroup: &Cgroup,
    container: Option<&Container>,
    pid: Option<u32>,
) -> Vec<Attribute> {
    let mut list: Vec<Attribute> = vec![(key::PROCESS_EXECUTABLE_NAME, executable.into())];
    list.extend(pid.map(|pid| (key::PROCESS_PID, pid.into())));
    let mut text = |key, value: &Option<String>| list.extend(value.as_deref().map(|value| (key, value.into())));
    if let Some(container) = container {
        text(key::CONTAINER_ID, &container.id);
        text(key::CONTAINER_NAME, &container.name);
        text(key::CONTAINER_IMAGE_NAME, &container.image);
        text(key::K8S_CONTAINER_NAME, &container.k8s_container_name);
        text(key::K8S_POD_NAME, &container.pod_name);
        text(key::K8S_POD_UID, &container.pod_uid);
        text(key::K8S_NAMESPACE_NAME, &container.namespace);
    } else {
        text(key::SYSTEMD_UNIT, &cgroup.unit);
    }
    list
}
