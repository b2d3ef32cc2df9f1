//! The living processes by the ids that monitor files have: those in the innermost PID namespace.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::allowance::{Allowance, Tariff};
use super::environment::{Environment, MAX_BYTES};
use super::ids::Ids;
use super::proof::Proofs;
use accelscope_core::host::HostRoots;
use accelscope_core::host::callers::Callers;
use accelscope_core::host::descriptors::cpu_time;
use accelscope_core::host::lives::Lives;
use accelscope_core::host::process::Processes;
use accelscope_core::host::stuck::apart;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::ProcessKey;

/// Time for the environment of a process to be read, and the most that were not at one time.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
const MAX_HUNG: usize = 8;
/// As many processes with the id of a file cost as much as a look at one for its proof.
const MATCHED_AS_LOOK: usize = 16;

/// What searches for writers may take, and looks at the users of processes. A search takes 0.3 ms where one process has its id.
const SEARCHING: Tariff = Tariff {
    share: 0.005,
    saved: Duration::from_millis(100),
    owed: Duration::from_millis(50),
};
/// Most processes that are looked at for one of a user.
const MAX_LOOKED_AT: usize = 256;

/// The processes, listed at most once between two calls of [`forget`](Self::forget), and less often where that takes long.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) processes: Processes,
    pub(super) proofs: Proofs,
    ids: Arc<Mutex<Ids>>,
    /// A listing since then is one of the processes as they are now.
    since: Instant,
    searching: Allowance,
    looking: Allowance,
    /// Whether there may be searches until the next call of [`forget`](Self::forget).
    may_search: Option<bool>,
    lives: Lives,
    /// Whether processes are alive, of those that were asked for together.
    alive: HashMap<ProcessKey, bool>,
    /// The first process of that id and user, of those that were asked for.
    of_users: HashMap<(u32, u32), Option<u32>>,
}

impl Living {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self::with(
            Processes::new(roots),
            Arc::new(Mutex::new(Ids::new(roots))),
            Instant::now(),
        )
    }

    fn with(processes: Processes, ids: Arc<Mutex<Ids>>, since: Instant) -> Self {
        let lives = Lives::new(processes.clone());
        Self {
            processes,
            proofs: Proofs::default(),
            ids,
            since,
            searching: Allowance::new(SEARCHING),
            looking: Allowance::new(SEARCHING),
            may_search: None,
            lives,
            alive: HashMap::new(),
            of_users: HashMap::new(),
        }
    }

    /// One for another thread, with the same listing.
    pub(super) fn another(&self) -> Self {
        Self::with(self.processes.clone(), Arc::clone(&self.ids), self.since)
    }

    /// The next question lists the processes again, if it may.
    pub(super) fn forget(&mut self) {
        self.since = Instant::now();
        self.may_search = None;
        self.alive.clear();
        self.of_users.clear();
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether these processes are alive, all together, until [`forget`](Self::forget); those without `true` are taken to be.
    pub(super) fn look_at(&mut self, processes: Vec<(ProcessKey, bool)>) {
        let due: Vec<ProcessKey> = processes
            .iter()
            .filter(|(_, is_due)| *is_due)
            .map(|(process, _)| *process)
            .collect();
        self.lives
            .keep(&processes.iter().map(|(process, _)| *process).collect());
        self.alive
            .extend(processes.into_iter().map(|(process, _)| (process, true)));
        let alive = self.lives.alive(&due);
        self.alive
            .extend(due.into_iter().map(|process| (process, alive.contains(&process))));
    }

    pub(super) fn is_alive(&self, process: ProcessKey) -> bool {
        let known = self.alive.get(&process);
        known.copied().unwrap_or_else(|| self.processes.is_alive(process))
    }

    /// The processes with this id in their own PID namespace, by their ids in `/proc`. Those of containers may be missing that
    /// have begun since the last listing, where [`is_current`](Self::is_current) does not hold.
    pub(super) fn with_id(&self, id: u32) -> io::Result<Vec<u32>> {
        let mut ids = self.ids();
        ids.refresh(self.since)?;
        Ok(ids.with_id(id, self.since))
    }

    /// Whether all processes are known.
    pub(super) fn is_current(&self) -> bool {
        self.ids().is_of(self.since)
    }

    /// Whether writers may be searched for until the next call of [`forget`](Self::forget): all processes are known, so that none
    /// is passed over and no container, and what searches took before is made up for.
    pub(super) fn may_search(&mut self) -> bool {
        if let Some(known) = self.may_search {
            return known;
        }
        // A search finds out why they cannot be listed.
        let may = self.searching.admits(Instant::now()) && self.ids().refresh(self.since).unwrap_or(true);
        *self.may_search.insert(may)
    }

    /// Lets there be searches until the next call of [`forget`](Self::forget), whatever they take.
    pub(super) const fn must_search(&mut self) {
        self.may_search = Some(true);
    }

    /// Whether a process that is not in `/proc` may be alive all the same: that is the `/proc` of a PID namespace that may be one
    /// of several.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        !self.ids().has_namespaces() && !self.processes.shows_kernel()
    }

    /// Lets there be none now.
    #[cfg(test)]
    pub(super) fn exhaust(&mut self) {
        self.searching.charge(Duration::from_hours(1));
    }

    /// The process that wrote the file of the hint.
    ///
    /// Where there are containers, root in any of them that shares the directory can write any id into a file of its own: then
    /// only a process that is shown to use HailoRT is a writer.
    pub(super) fn find(&mut self, hint: &WriterHint) -> io::Result<Writer> {
        let pids = self.with_id(hint.pid)?;
        let begun = cpu_time();
        let (processes, hint) = (self.processes.clone(), hint.clone());
        let (matches, took) = apart(move || {
            let begun = cpu_time();
            let matches = writer::matches(&processes, &pids, &hint);
            (matches, cpu_time().saturating_sub(begun))
        })?;
        let found = matches.map(|matches| {
            self.proofs.count(matches.looked_into() / MATCHED_AS_LOOK);
            if !self.ids().has_namespaces() {
                return matches.judged();
            }
            let mut proofs = std::mem::take(&mut self.proofs);
            let found = matches.proven(&self.processes, |process| proofs.shows(self, process));
            self.proofs = proofs;
            found
        });
        let took = took + self.proofs.take_time() + cpu_time().saturating_sub(begun);
        self.searching.charge(took);
        found
    }

    /// The first process of that user that has that id in its own PID namespace. Fails where that cannot be found out now.
    pub(super) fn of_user(&mut self, id: u32, user: u32) -> io::Result<Option<u32>> {
        if let Some(known) = self.of_users.get(&(id, user)) {
            return Ok(*known);
        }
        let not_now = || io::Error::from(io::ErrorKind::WouldBlock);
        let pids = self.with_id(id)?;
        if !self.looking.admits(Instant::now()) {
            return Err(not_now());
        }
        let begun = cpu_time();
        let mut first = pids.iter().take(MAX_LOOKED_AT).copied();
        let found = first.find(|pid| self.is_of_user(*pid, user));
        self.looking.charge(cpu_time().saturating_sub(begun));
        if found.is_none() && (pids.len() > MAX_LOOKED_AT || !self.is_current()) {
            return Err(not_now());
        }
        self.of_users.insert((id, user), found);
        Ok(found)
    }

    /// Whether a process is of this user.
    pub(super) fn is_of_user(&self, pid: u32, user: u32) -> bool {
        self.processes.users(pid).is_ok_and(|users| users.contains(&user))
    }

    /// HailoRT's variables in the environment of a process that was found in a search.
    pub(super) fn environment(&mut self, pid: u32) -> Option<Environment> {
        let (environment, took) = self.environment_within(pid, MAX_BYTES);
        self.searching.charge(took);
        environment
    }

    /// The same of one that was found [by its user](Self::of_user).
    pub(super) fn environment_of_user(&mut self, pid: u32) -> Option<Environment> {
        let (environment, took) = self.environment_within(pid, MAX_BYTES);
        self.looking.charge(took);
        environment
    }

    /// The same in its first bytes, and the CPU time that it took.
    ///
    /// A process can map a file there whose file system does not answer: it is waited for a moment, and its environment is
    /// unknown then.
    pub(super) fn environment_within(&self, pid: u32, most: u64) -> (Option<Environment>, Duration) {
        static CALLERS: LazyLock<Callers> = LazyLock::new(|| Callers::rare("environments", MAX_HUNG));
        let processes = self.processes.clone();
        let call = CALLERS.start(move || {
            let begun = cpu_time();
            let read = |name: &str| Environment::read(&processes.path(pid, name), most);
            // All threads have the same, but one that has ended has none.
            let of_another = || read(&format!("task/{}/environ", processes.other_threads(pid).next()?));
            let environment = read("environ").or_else(of_another);
            (environment, cpu_time().saturating_sub(begun))
        });
        let read = call.ok().and_then(|call| call.wait_for(PATIENCE));
        read.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn put(host: &Path, pid: u32, own: u32, user: u32) {
        let process = host.join(format!("proc/{pid}"));
        fs::create_dir_all(&process).unwrap();
        let status = format!("Name:\ta\nUid:\t{user}\t{user}\t{user}\t{user}\nNSpid:\t{pid}\t{own}\n");
        fs::write(process.join("status"), status).unwrap();
    }

    #[test]
    fn users_of_a_great_many_processes_with_one_id_are_looked_at_once_and_in_part() {
        let host = tempfile::tempdir().unwrap();
        for pid in 100..100 + MAX_LOOKED_AT as u32 {
            put(host.path(), pid, 1, 7);
        }
        let mut living = Living::new(&HostRoots::new(host.path()));
        assert_eq!(living.of_user(1, 7).unwrap(), Some(100));
        assert_eq!(living.of_user(1, 8).unwrap(), None);
        // Until the next run what was read stays.
        put(host.path(), 100, 1, 8);
        assert_eq!(living.of_user(1, 8).unwrap(), None);
        living.forget();
        assert_eq!(living.of_user(1, 8).unwrap(), Some(100));
        // One more than are looked at: none is known not to be of that user.
        put(host.path(), 5000, 1, 9);
        living.forget();
        assert!(living.of_user(1, 9).is_err());
        assert_eq!(living.of_user(1, 7).unwrap(), Some(101));
    }

    #[test]
    fn processes_are_elsewhere_only_where_one_namespace_is_shown_and_that_is_not_the_machine_s() {
        let host = tempfile::tempdir().unwrap();
        let of = || {
            let living = Living::new(&HostRoots::new(host.path()));
            living.with_id(1).unwrap();
            living.may_be_elsewhere()
        };
        let status = |pid: u32, ids: &str| {
            let process = host.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("status"), format!("NSpid:\t{ids}\n")).unwrap();
        };
        status(1, "1");
        assert!(of(), "the processes of a container");
        status(30, "30\t1");
        assert!(
            !of(),
            "of a node that is a container: those of its containers are there"
        );
        fs::remove_dir_all(host.path().join("proc/30")).unwrap();
        status(2, "2");
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 18446744073709551615 0 0 0 0 0 0 0 \
                      2147483647 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        fs::write(host.path().join("proc/2/stat"), kernel).unwrap();
        assert!(!of(), "of the machine");
    }
}
