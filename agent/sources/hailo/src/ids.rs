//! Processes by their ids in the innermost PID namespace.
//!
//! That id does not change while the process lives, so that each process is read once: the kernel gives the directory of a new
//! process of the same id in `/proc` another inode number. Who may write monitor files and start processes decides how often
//! the processes are asked for and how many there are, so that listing them has a share of a core.

use std::io;
use std::time::{Duration, Instant};

use super::allowance::{Allowance, Tariff};
use accelscope_core::host::HostRoots;
use accelscope_core::host::descriptors::cpu_time;
use accelscope_core::host::process::Processes;

/// Most processes that are listed and remembered, at 16 bytes each, and as much again during a listing.
const MAX_PROCESSES: usize = 65_536;

/// Listing 6,000 processes takes 3 ms where they are known, and 0.1 s at first.
const LISTING: Tariff = Tariff {
    share: 0.005,
    saved: Duration::from_millis(100),
    owed: Duration::from_millis(50),
};

/// The processes, as they were at the last listing.
#[derive(Debug)]
pub(super) struct Ids {
    processes: Processes,
    most: usize,
    /// By their ids in `/proc`.
    known: Vec<Known>,
    /// Those in another PID namespace than that of `/proc`: their own ids, and those in `/proc`.
    nested: Vec<(u32, u32)>,
    /// Whether there were no more of them than are listed.
    is_whole: bool,
    listed_at: Option<Instant>,
    allowance: Allowance,
}

/// What was read of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    pid: u32,
    /// Of its directory: the kernel's numbers have 32 bits (`get_next_ino`, fs/inode.c).
    inode: u32,
    /// `None` before it was read. No process has the id 0.
    own: Option<std::num::NonZeroU32>,
    is_nested: bool,
}

impl Ids {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            most: MAX_PROCESSES,
            known: Vec::new(),
            nested: Vec::new(),
            is_whole: true,
            listed_at: None,
            allowance: Allowance::new(LISTING),
        }
    }

    /// Lists the processes, unless they were since then or it is too soon for that. Returns whether they were since then.
    pub(super) fn refresh(&mut self, since: Instant) -> io::Result<bool> {
        let now = Instant::now();
        if self.is_of(since) {
            return Ok(true);
        }
        let is_admitted = self.allowance.admits(now);
        if self.listed_at.is_some() && !is_admitted {
            return Ok(false);
        }
        let begun = cpu_time();
        let listed = self.list();
        self.allowance.charge(cpu_time().saturating_sub(begun));
        self.listed_at = listed.is_ok().then_some(now);
        listed.map(|()| true)
    }

    /// Whether they were listed since then.
    pub(super) fn is_of(&self, since: Instant) -> bool {
        self.listed_at.is_some_and(|at| at >= since)
    }

    /// Whether a process has a PID namespace of its own, as in a container, or may have.
    pub(super) fn has_namespaces(&self) -> bool {
        !self.nested.is_empty() || !self.is_whole
    }

    /// The processes with this id in their own PID namespace, by their ids in `/proc`. One that is in no other than that of
    /// `/proc` is known of also if it has started since the listing before `since`.
    pub(super) fn with_id(&self, id: u32, since: Instant) -> Vec<u32> {
        let from = self.nested.partition_point(|(own, _)| *own < id);
        let nested = self.nested[from..].iter().take_while(|(own, _)| *own == id);
        let mut found: Vec<u32> = nested.map(|(_, pid)| *pid).collect();
        let is_whole = self.is_whole && self.is_of(since);
        let is_there = if is_whole {
            let known = self.known.binary_search_by_key(&id, |known| known.pid);
            known.is_ok_and(|nth| !self.known[nth].is_nested && self.known[nth].own.is_some())
        } else {
            self.processes.ns_pids(id).is_ok_and(|ids| ids == [id])
        };
        if is_there {
            found.push(id);
            found.sort_unstable();
        }
        found
    }

    fn list(&mut self) -> io::Result<()> {
        let mut all = Vec::with_capacity(self.known.len() + 16);
        let mut listed = self.processes.listed()?;
        all.extend(listed.by_ref().take(self.most).map(|(pid, inode)| Known {
            pid,
            inode: inode as u32,
            own: None,
            is_nested: false,
        }));
        self.is_whole = listed.next().is_none();
        all.sort_unstable();
        let mut before = self.known.iter().peekable();
        self.nested.clear();
        for known in &mut all {
            while before.next_if(|before| before.pid < known.pid).is_some() {}
            match before.next_if(|before| (before.pid, before.inode) == (known.pid, known.inode)) {
                Some(before) if before.own.is_some() => *known = *before,
                _ => {
                    // It may have ended in between.
                    let ids = self.processes.ns_pids(known.pid).unwrap_or_default();
                    known.own = ids.last().and_then(|own| (*own).try_into().ok());
                    known.is_nested = ids.len() > 1;
                }
            }
            if let Some(own) = known.own.filter(|_| known.is_nested) {
                self.nested.push((own.get(), known.pid));
            }
        }
        self.nested.sort_unstable();
        self.known = all;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// A process in a `/proc` of the test.
    fn put(host: &Path, pid: u32, ids: &str) {
        let process = host.join(format!("proc/{pid}"));
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("status"), format!("Name:\ta\nNSpid:\t{ids}\n")).unwrap();
    }

    fn of(host: &Path) -> Ids {
        Ids::new(&HostRoots::new(host))
    }

    fn list(ids: &mut Ids) -> Instant {
        ids.allowance = Allowance::new(LISTING);
        let now = Instant::now();
        assert!(ids.refresh(now).unwrap());
        now
    }

    #[test]
    fn each_process_is_read_once_and_another_of_its_id_again() {
        let host = tempfile::tempdir().unwrap();
        put(host.path(), 7, "7");
        put(host.path(), 12, "12\t7");
        let mut ids = of(host.path());
        let now = list(&mut ids);
        assert!(ids.has_namespaces());
        assert_eq!(ids.with_id(7, now), [7, 12]);
        assert!(ids.with_id(12, now).is_empty());
        // What was read of them is not read again.
        put(host.path(), 7, "7\t1");
        fs::remove_file(host.path().join("proc/12/status")).unwrap();
        let now = list(&mut ids);
        assert_eq!(ids.with_id(7, now), [7, 12]);
        // A new process has a new directory. The old one keeps its inode until then.
        fs::rename(host.path().join("proc/12"), host.path().join("old")).unwrap();
        put(host.path(), 12, "12\t8");
        put(host.path(), 13, "13");
        let now = list(&mut ids);
        assert_eq!(ids.with_id(7, now), [7]);
        assert_eq!(ids.with_id(8, now), [12]);
        assert_eq!(ids.with_id(13, now), [13]);
        fs::remove_dir_all(host.path().join("proc/12")).unwrap();
        let now = list(&mut ids);
        assert!(ids.with_id(8, now).is_empty() && !ids.has_namespaces());
    }

    #[test]
    fn one_that_could_not_be_read_is_read_at_the_next_listing() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("proc/12")).unwrap();
        let mut ids = of(host.path());
        let now = list(&mut ids);
        assert!(ids.with_id(12, now).is_empty());
        put(host.path(), 12, "12\t7");
        let now = list(&mut ids);
        assert_eq!(ids.with_id(7, now), [12]);
    }

    #[test]
    fn after_a_long_listing_it_is_not_listed_at_once_and_the_host_s_processes_are_found_all_the_same() {
        let host = tempfile::tempdir().unwrap();
        put(host.path(), 7, "7");
        let mut ids = of(host.path());
        list(&mut ids);
        ids.allowance.charge(Duration::from_secs(1));
        put(host.path(), 8, "8");
        put(host.path(), 9, "9\t5");
        let now = Instant::now();
        assert!(!ids.refresh(now).unwrap());
        assert_eq!(ids.with_id(8, now), [8]);
        assert!(ids.with_id(5, now).is_empty() && ids.with_id(9, now).is_empty());
        // It is, once that time is over.
        let now = list(&mut ids);
        assert_eq!(ids.with_id(5, now), [9]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_beyond_it_nothing_is_taken_to_be_without_containers() {
        let host = tempfile::tempdir().unwrap();
        for pid in 1..=17 {
            put(host.path(), pid, &pid.to_string());
        }
        let mut ids = of(host.path());
        list(&mut ids);
        assert!(!ids.has_namespaces() && std::mem::size_of::<Known>() == 16);
        ids.most = 16;
        let now = list(&mut ids);
        assert_eq!(ids.known.len(), 16);
        assert!(ids.has_namespaces());
        for pid in 1..=17 {
            assert_eq!(ids.with_id(pid, now), [pid]);
        }
    }
}
