//! Whether processes are alive that are asked about again and again.
//!
//! The kernel signals the end of a process by its descriptor (`pidfd_open(2)`, Linux 5.3), which is quick to ask and never has to
//! be waited for, as `/proc/<pid>/stat` may have to (see [`stuck`](super::stuck)). It becomes readable when the last thread has
//! ended (`pidfd_poll`, fs/pidfs.c), also before the process is waited for.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, getrlimit, pidfd_open};

use super::bounded::read_bounded;
use super::process::Processes;
use crate::metric::ProcessKey;

/// Most descriptors, and what part of all that this process may have open. The others' `stat` is read.
const MAX: usize = 64;
const PART: u64 = 16;
/// Limit in bytes of `/proc/self/fdinfo/<fd>`.
const MAX_BYTES: usize = 4096;

/// Descriptors of processes; `None` for one that cannot be had.
#[derive(Debug)]
pub struct Lives {
    processes: Processes,
    most: usize,
    held: HashMap<ProcessKey, Option<OwnedFd>>,
}

impl Lives {
    /// Of these processes.
    pub fn new(processes: Processes) -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            processes,
            most: usize::try_from(files / PART).unwrap_or(MAX).min(MAX),
            held: HashMap::new(),
        }
    }

    /// Gives up the descriptors of all others than these.
    pub fn keep(&mut self, keys: &HashSet<ProcessKey>) {
        self.held.retain(|key, _| keys.contains(key));
    }

    /// Those of these processes that are alive, as [`Processes::is_alive`] has it.
    pub fn alive(&mut self, keys: &[ProcessKey]) -> HashSet<ProcessKey> {
        for key in keys {
            if self.held.len() < self.most && !self.held.contains_key(key) {
                self.held.insert(*key, self.open(*key));
            }
        }
        let descriptor = |key: &ProcessKey| self.held.get(key).and_then(Option::as_ref);
        let (held, mut others): (Vec<ProcessKey>, Vec<ProcessKey>) =
            keys.iter().partition(|key| descriptor(key).is_some());
        let mut fds: Vec<_> = held
            .iter()
            .filter_map(descriptor)
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN))
            .collect();
        let mut alive = HashSet::new();
        if fds.is_empty() || poll(&mut fds, Some(&Timespec::default())).is_ok() {
            let running = held.iter().zip(&fds).filter(|(_, fd)| fd.revents().is_empty());
            alive.extend(running.map(|(key, _)| *key));
        } else {
            others.extend(&held);
        }
        if !others.is_empty() {
            alive.extend(self.processes.alive(others));
        }
        alive
    }

    /// The descriptor of the process in the host's `/proc`, which may be of another PID namespace than this process is in.
    fn open(&self, key: ProcessKey) -> Option<OwnedFd> {
        let descriptor = pidfd_open(Pid::from_raw(key.pid.try_into().ok()?)?, PidfdFlags::empty()).ok()?;
        // `Pid` is the id in the namespace of that `/proc` (`pidfd_show_fdinfo`, fs/pidfs.c).
        let path = self.processes.own_path(&format!("fdinfo/{}", descriptor.as_raw_fd()));
        let info = read_bounded(&path, MAX_BYTES).ok()?;
        let text = String::from_utf8_lossy(&info);
        let shown = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        // Read last: where the process is still there, the descriptor is of none that follows it.
        let is_it = shown.trim().parse() == Ok(key.pid) && self.processes.key(key.pid).ok()? == key;
        is_it.then_some(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::super::HostRoots;
    use super::*;

    fn of(root: &std::path::Path) -> Lives {
        Lives::new(Processes::new(&HostRoots::new(root)))
    }

    fn process() -> Child {
        Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn key(child: &Child) -> ProcessKey {
        Processes::new(&HostRoots::new("/")).key(child.id()).unwrap()
    }

    #[test]
    fn an_end_is_seen_also_of_a_process_that_nobody_has_waited_for() {
        let mut lives = of("/".as_ref());
        let [mut first, mut second] = [process(), process()];
        let keys = [key(&first), key(&second)];
        let follower = ProcessKey {
            start_ticks: keys[0].start_ticks + 1,
            ..keys[0]
        };
        let alive = HashSet::from(keys);
        for _ in 0..2 {
            assert_eq!(lives.alive(&keys), alive);
            assert_eq!(lives.alive(&[keys[0], keys[1], follower]), alive, "the id is another's");
        }
        assert_eq!(lives.held.values().flatten().count(), 2, "they have descriptors");

        first.kill().unwrap();
        // Its end, and not that it is waited for, ends `alive`.
        let pid = Pid::from_child(&first);
        let end = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        poll(&mut [PollFd::new(&end, PollFlags::IN)], None).unwrap();
        assert_eq!(lives.alive(&keys), HashSet::from([keys[1]]));
        first.wait().unwrap();
        assert_eq!(lives.alive(&keys), HashSet::from([keys[1]]));
        second.kill().unwrap();
        second.wait().unwrap();
        assert_eq!(lives.alive(&keys), HashSet::new());
        assert_eq!(lives.alive(&[]), HashSet::new());
        lives.keep(&HashSet::from([keys[1]]));
        assert_eq!(lives.held.len(), 1);
    }

    #[test]
    fn another_proc_than_that_of_this_pid_namespace_is_read() {
        let proc = tempfile::tempdir().unwrap();
        let mut child = process();
        let folder = proc.path().join("proc").join(child.id().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let stat = std::fs::read(format!("/proc/{}/stat", child.id())).unwrap();
        std::fs::write(folder.join("stat"), stat).unwrap();
        let mut lives = of(proc.path());
        let keys = vec![key(&child)];
        assert_eq!(lives.alive(&keys).len(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(lives.alive(&keys).len(), 0, "this one's process goes on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
