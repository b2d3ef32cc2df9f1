//! From a process or control group to the attributes of what it belongs to.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cgroup_owners::CgroupOwners;
use super::containers::{ContainerCache, NAME_TIMEOUT, Names};
use super::engines::Engines;
use super::resolution::{OwnerAttributes, Resolution};
use super::within::Within;
use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::evict_fairly;
use accelscope_core::holders::Holders;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Owner, ProcessKey};

/// Most processes in the cache, where memory allows it; beyond, pods, containers and users with more than their share lose
/// those that were used longest ago.
const MAX_PROCESSES: usize = 8192;

/// Bytes of a process in the cache, without its attributes.
const PROCESS: usize = 700;

/// How often a process is read again: it may have become another program, or been moved to another cgroup.
const REFRESH: Duration = Duration::from_mins(1);

/// How long an unused entry is kept.
const RETENTION: Duration = Duration::from_mins(5);

/// How processes are shown (`[attribution]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Each process by itself (`process.pid`), and not only what it runs and where.
    pub per_process: bool,
    /// How long readings are withheld while their container's names are not known yet. Zero where each sampler runs
    /// only once.
    pub name_timeout: Duration,
    /// Directories of container engines beside those that are found.
    pub engine_directories: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            per_process: false,
            name_timeout: NAME_TIMEOUT,
            engine_directories: Vec::new(),
        }
    }
}

/// Resolves the owners of readings.
///
/// A process is read when it is first asked for and then once a minute; one that has ended stays known as it was.
#[derive(Debug)]
pub struct Attribution {
    processes: Processes,
    settings: Settings,
    entries: HashMap<ProcessKey, Process>,
    containers: ContainerCache,
    owners: CgroupOwners,
    within: Within,
    holders: Holders,
    account: Account,
}

#[derive(Debug)]
struct Process {
    executable: String,
    cgroup: Arc<Cgroup>,
    /// Its real user, who has started it.
    user: Option<u32>,
    with_pid: OwnerAttributes,
    without_pid: OwnerAttributes,
    read: Instant,
    used: Instant,
}

impl Attribution {
    /// Of the host, within a budget of the default size.
    pub fn new(roots: &HostRoots, settings: Settings) -> Self {
        Self::within(&Budget::default(), roots, settings)
    }

    /// Of the host, within this budget.
    pub fn within(budget: &Budget, roots: &HostRoots, settings: Settings) -> Self {
        let engines = Engines::new(roots, &settings.engine_directories);
        Self {
            processes: Processes::new(roots),
            entries: HashMap::new(),
            containers: ContainerCache::new(budget, engines, settings.name_timeout),
            owners: CgroupOwners::new(budget, Cgroups::new(roots), settings.name_timeout),
            within: Within::new(budget),
            holders: Holders::default(),
            account: budget.account(Purpose::Names),
            settings,
        }
    }

    /// The same, which notes in `holders` who owns the readings that it is given.
    #[must_use]
    pub fn with_holders(self, holders: Holders) -> Self {
        Self { holders, ..self }
    }

    /// The processes that hold an accelerator.
    pub const fn holders(&self) -> &Holders {
        &self.holders
    }

    /// The attributes of an owner.
    pub fn resolve(&mut self, owner: &Owner, now: Instant) -> Resolution {
        match owner {
            Owner::Process { process, always_pid } => {
                let with_pid = *always_pid || self.settings.per_process;
                self.resolve_process(*process, with_pid, now)
            }
            Owner::Cgroup(owner) => self.owners.resolve(owner, &self.processes, &mut self.containers, now),
            Owner::Within(cgroup) => self.within.resolve(cgroup, &mut self.containers, now),
            Owner::Outermost(_) => Resolution::Unknown,
        }
    }

    fn resolve_process(&mut self, process: ProcessKey, with_pid: bool, now: Instant) -> Resolution {
        if self
            .entries
            .get(&process)
            .is_none_or(|entry| now.duration_since(entry.read) >= REFRESH)
        {
            self.refresh(process, now);
        }
        let Some(entry) = self.entries.get_mut(&process) else {
            return Resolution::Unknown;
        };
        entry.used = now;
        let container = match self.containers.names(&entry.cgroup, now) {
            Names::Known(container) => container,
            Names::Wait => return Resolution::Wait,
        };
        let (attributes, pid) = if with_pid {
            (&mut entry.with_pid, Some(process.pid))
        } else {
            (&mut entry.without_pid, None)
        };
        let (executable, user) = (&entry.executable, entry.user);
        Resolution::Known(attributes.get(Some(executable), &entry.cgroup, container, pid, user))
    }

    /// The host's control groups, which a sampler that sees them created adds to.
    pub fn cgroups(&self) -> Cgroups {
        self.owners.cgroups().clone()
    }

    /// Looks up the names of new containers: their files may be gone when the first reading belongs to them.
    pub fn prefetch_names(&mut self, now: Instant) {
        self.owners.prefetch_names(&mut self.containers, now);
    }

    /// Whether names of new containers are still looked for.
    pub fn is_prefetching(&self) -> bool {
        self.owners.is_prefetching()
    }

    /// Writes one line to the log for all containers without a name, when that is due.
    pub fn log_nameless(&mut self, now: Instant) {
        self.containers.log_nameless(now);
    }

    /// Whether that very process still runs.
    pub fn is_alive(&self, process: ProcessKey) -> bool {
        self.processes.is_alive(process)
    }

    /// Forgets what was not used in 15 minutes.
    pub fn evict(&mut self, now: Instant) {
        if let Some(before) = now.checked_sub(RETENTION) {
            self.entries.retain(|_, entry| entry.used >= before);
            self.containers.evict(before);
            self.owners.evict(before);
            self.within.evict(before);
        }
        self.make_room(0);
        if self.entries.capacity() > 4 * self.entries.len().max(64) {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// How many processes, owners, containers and control groups are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> [usize; 4] {
        let groups = self.owners.cgroups().kept();
        [self.entries.len(), self.owners.kept(), self.containers.kept(), groups]
    }

    /// Makes room for so many more processes.
    fn make_room(&mut self, more: usize) {
        let count = self.entries.len().max(1);
        let bytes: usize = self.entries.values().map(Process::size).sum();
        let fitting = self.account.room() / (bytes / count).max(PROCESS) as u64;
        let most = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(64, MAX_PROCESSES);
        if self.entries.len() + more > most {
            let before = self.entries.len();
            evict_fairly(
                &mut self.entries,
                most,
                |_, entry| Some(entry.group()),
                |entry| entry.used,
            );
            count_forgotten("process", (before - self.entries.len()) as u64);
        }
        let bytes: usize = self.entries.values().map(Process::size).sum();
        self.account.set(bytes as u64);
    }

    /// Reads the process; one that has ended stays as it was.
    fn refresh(&mut self, process: ProcessKey, now: Instant) {
        let read = self.read(process, now);
        match (self.entries.get_mut(&process), read) {
            (Some(entry), Ok(new))
                if (&entry.executable, &*entry.cgroup, entry.user) != (&new.executable, &*new.cgroup, new.user) =>
            {
                *entry = new;
            }
            (Some(entry), _) => entry.read = now,
            (None, Ok(new)) => {
                // What they take in bytes is looked at once a minute, and whenever a sixteenth more have come.
                if self.entries.len() >= MAX_PROCESSES || self.entries.len().is_multiple_of(MAX_PROCESSES / 16) {
                    self.make_room(1);
                }
                self.entries.insert(process, new);
            }
            (None, Err(error)) => {
                tracing::debug!(pid = process.pid, %error, "a process was gone before its reading could be attributed");
            }
        }
    }

    fn read(&self, process: ProcessKey, now: Instant) -> io::Result<Process> {
        let pid = process.pid;
        // The kernel's name of it only where its executable may not be seen, or where a kernel thread has none.
        let executable = self
            .processes
            .executable_name(pid)
            .or_else(|_| self.processes.command_name(pid))?;
        let cgroup = self.owners.cgroups().parse(&self.processes.cgroup(pid)?);
        let cgroup = cgroup.on_node(self.containers.own());
        let user = self.processes.real_user(pid);
        // Last, so that all of the above is of that process: a reused pid has a later start. A zombie keeps its pid, but
        // has lost its executable and its cgroup.
        if self.processes.is_alive(process) {
            Ok(Process::new(executable, cgroup, user, now))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

impl Process {
    fn new(executable: String, cgroup: Cgroup, user: Option<u32>, now: Instant) -> Self {
        Self {
            executable,
            cgroup: Arc::new(cgroup),
            user,
            with_pid: OwnerAttributes::default(),
            without_pid: OwnerAttributes::default(),
            read: now,
            used: now,
        }
    }

    fn size(&self) -> usize {
        PROCESS + self.with_pid.size() + self.without_pid.size()
    }

    /// Among which the room is shared.
    fn group(&self) -> String {
        let cgroup = &self.cgroup;
        let own = || cgroup.container().or(cgroup.unit.as_deref()).map(str::to_owned);
        let user = || format!("user {}", self.user.unwrap_or_default());
        cgroup.outermost.clone().or_else(own).unwrap_or_else(user)
    }
}
