//! The living processes by the ids that monitor files have: those in the innermost PID namespace.

use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::environment::{Environment, MAX_BYTES};
use super::proof::Proofs;
use accelscope_core::host::HostRoots;
use accelscope_core::host::callers::Callers;
use accelscope_core::host::lives::Lives;
use accelscope_core::host::process::Processes;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::ProcessKey;

/// Time for the environment of a process to be read, and the most that were not at one time.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
const MAX_HUNG: usize = 8;

/// The processes, listed at most once between two calls of [`forget`](Self::forget).
#[derive(Debug)]
pub(super) struct Living {
    pub(super) processes: Processes,
    pub(super) proofs: Proofs,
    by_id: Option<HashMap<u32, Vec<u32>>>,
    lives: Lives,
    /// Whether processes are alive, of those that were asked for together.
    alive: HashMap<ProcessKey, bool>,
    /// Whether one of them has a PID namespace of its own, as in a container.
    has_namespaces: bool,
}

impl Living {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            proofs: Proofs::default(),
            by_id: None,
            lives: Lives::new(roots),
            alive: HashMap::new(),
            has_namespaces: false,
        }
    }

    /// The next question lists the processes again.
    pub(super) fn forget(&mut self) {
        self.by_id = None;
        self.alive.clear();
    }

    /// Looks whether these processes are alive, all together, until [`forget`](Self::forget); those without `true` are taken to be.
    pub(super) fn look_at(&mut self, processes: Vec<(ProcessKey, bool)>) {
        let due: Vec<ProcessKey> = processes
            .iter()
            .filter(|(_, is_due)| *is_due)
            .map(|(process, _)| *process)
            .collect();
        self.alive
            .extend(processes.into_iter().map(|(process, _)| (process, true)));
        if due.is_empty() {
            return;
        }
        let alive = self.lives.alive(due.clone());
        self.alive
            .extend(due.into_iter().map(|process| (process, alive.contains(&process))));
    }

    pub(super) fn is_alive(&self, process: ProcessKey) -> bool {
        let known = self.alive.get(&process);
        known.copied().unwrap_or_else(|| self.processes.is_alive(process))
    }

    /// The processes with this id in their own PID namespace, by their ids in `/proc`.
    pub(super) fn with_id(&mut self, id: u32) -> io::Result<&[u32]> {
        if self.by_id.is_none() {
            let mut by_id = HashMap::<_, Vec<_>>::new();
            self.has_namespaces = false;
            for pid in self.processes.pids()? {
                // It may have ended in between.
                let ids = self.processes.ns_pids(pid).unwrap_or_default();
                self.has_namespaces |= ids.len() > 1;
                if let Some(own) = ids.last() {
                    by_id.entry(*own).or_default().push(pid);
                }
            }
            self.by_id = Some(by_id);
        }
        let found = self.by_id.as_ref().and_then(|by_id| by_id.get(&id));
        Ok(found.map_or(&[], Vec::as_slice))
    }

    /// The process that wrote the file of the hint.
    ///
    /// Where there are containers, root in any of them that shares the directory can write any id into a file of its own: then
    /// only a process that is shown to use HailoRT is a writer.
    pub(super) fn find(&mut self, hint: &WriterHint) -> io::Result<Writer> {
        let pids = self.with_id(hint.pid)?.to_vec();
        if !self.has_namespaces {
            return writer::find_among(&self.processes, &pids, hint);
        }
        let mut proofs = std::mem::take(&mut self.proofs);
        let found = writer::find_proven(&self.processes, &pids, hint, |process| proofs.shows(self, process));
        self.proofs = proofs;
        found
    }

    /// Whether a process of this user has that id in its own PID namespace.
    pub(super) fn has_of_user(&mut self, id: u32, user: u32) -> bool {
        let pids = self.with_id(id).unwrap_or_default().to_vec();
        pids.into_iter().any(|pid| self.is_of_user(pid, user))
    }

    /// Whether a process is of this user.
    pub(super) fn is_of_user(&self, pid: u32, user: u32) -> bool {
        self.processes.users(pid).is_ok_and(|users| users.contains(&user))
    }

    /// HailoRT's variables in the environment of a process.
    pub(super) fn environment(&self, pid: u32) -> Option<Environment> {
        self.environment_within(pid, MAX_BYTES)
    }

    /// The same in its first bytes.
    ///
    /// A process can map a file there whose file system does not answer: it is waited for a moment, and its environment is
    /// unknown then.
    pub(super) fn environment_within(&self, pid: u32, most: u64) -> Option<Environment> {
        static CALLERS: LazyLock<Callers> = LazyLock::new(|| Callers::rare("environments", MAX_HUNG));
        let path = self.processes.path(pid, "environ");
        let call = CALLERS.start(move || Environment::read(&path, most)).ok()?;
        call.wait(Instant::now() + PATIENCE).flatten()
    }

    /// A process in words, such as "process 7 (detect)".
    pub(super) fn name(&self, pid: u32) -> String {
        let name = self
            .processes
            .executable_name(pid)
            .or_else(|_| self.processes.command_name(pid));
        format!("process {pid} ({})", name.as_deref().unwrap_or("?"))
    }
}
