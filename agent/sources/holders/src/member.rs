//! A process that holds an accelerator: how long its threads wait for a CPU.
//!
//! `/proc/<pid>/schedstat` is of the first thread alone (`proc_pid_schedstat`, fs/proc/base.c), so that each thread's is read.

use std::collections::HashMap;
use std::ffi::CStr;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Mode, OFlags, openat};

use super::parse::schedstat;
use accelscope_core::metric::ProcessKey;

/// Most threads of a process that are known.
const MAX_THREADS: usize = 16_384;
/// Longest text of `schedstat`: three numbers of 64 bits.
const MAX_TEXT: usize = 96;

/// Time in ns since the reading before, summed over threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) ran: u64,
    pub(super) waited: u64,
    /// Threads whose wait is longer than the time that passed.
    pub(super) implausible: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: ProcessKey,
    threads: HashMap<u32, [u64; 2]>,
    /// Whether each of its threads was read once, so that one that is not known is new.
    is_whole: bool,
    /// The thread from which on it is read next, where it has more than can be read at once.
    next: u32,
}

impl Member {
    /// `is_new`: it has started since the last look at its group, so that all of its time is since then.
    pub(super) fn new(key: ProcessKey, is_new: bool) -> Self {
        Self {
            key,
            threads: HashMap::new(),
            is_whole: is_new,
            next: 0,
        }
    }

    /// Reads at most so many of its threads and adds what they did since they were read before. `false` where the kernel
    /// does not count it, or the process has ended.
    pub(super) fn read(&mut self, proc: &Path, most: usize, most_wait: u64, waits: &mut Waits) -> bool {
        let path = proc.join(self.key.pid.to_string()).join("task");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::open(path, flags, Mode::empty()) else {
            return false;
        };
        let all = threads(&folder);
        let is_all = all.len() <= most;
        let from = if is_all {
            0
        } else {
            all.partition_point(|thread| *thread < self.next)
        };
        // Of more than can be read at once, each was read several looks ago.
        let rounds = u64::try_from(all.len() / most.max(1)).unwrap_or(u64::MAX);
        let most_wait = most_wait.saturating_mul(rounds.saturating_add(1));
        let mut any = false;
        for thread in all.iter().cycle().skip(from).take(most.min(all.len())) {
            let Some(now) = read(&folder, *thread) else { continue };
            any = true;
            let last = self
                .threads
                .insert(*thread, now)
                .filter(|last| last[1] <= now[1] && last[0] <= now[0]);
            let last = last.or_else(|| self.is_whole.then_some([0, 0])).unwrap_or(now);
            if now[1] - last[1] > most_wait {
                waits.implausible += 1;
                continue;
            }
            waits.ran = waits.ran.saturating_add(now[0] - last[0]);
            waits.waited = waits.waited.saturating_add(now[1] - last[1]);
        }
        let after = all.iter().cycle().nth(from + most.min(all.len()));
        self.next = after.copied().unwrap_or_default();
        self.threads.retain(|thread, _| all.binary_search(thread).is_ok());
        self.is_whole = self.threads.len() == all.len();
        any
    }
}

/// Ids of the threads, in order.
fn threads(folder: &OwnedFd) -> Vec<u32> {
    let Ok(entries) = Dir::read_from(folder) else {
        return Vec::new();
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
    let mut ids: Vec<u32> = ids.take(MAX_THREADS).collect();
    ids.sort_unstable();
    ids
}

fn read(folder: &OwnedFd, thread: u32) -> Option<[u64; 2]> {
    let mut name = [0; 32];
    let path = path(&mut name, thread)?;
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = [0; MAX_TEXT];
    let length = rustix::io::read(&file, &mut text[..]).ok()?;
    schedstat(std::str::from_utf8(&text[..length]).ok()?)
}

/// `<thread>/schedstat`, without memory of its own.
fn path(name: &mut [u8; 32], thread: u32) -> Option<&CStr> {
    use std::io::Write;
    let mut rest = &mut name[..];
    write!(rest, "{thread}/schedstat\0").ok()?;
    CStr::from_bytes_until_nul(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    struct Proc(tempfile::TempDir);

    impl Proc {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn thread(&self, id: u32, text: &str) {
            let folder = self.0.path().join("7/task").join(id.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("schedstat"), text).unwrap();
        }

        fn end(&self, id: u32) {
            std::fs::remove_dir_all(self.0.path().join("7/task").join(id.to_string())).unwrap();
        }

        fn read(&self, member: &mut Member, most: usize) -> (u64, u64, bool) {
            let mut waits = Waits::default();
            let any = member.read(self.0.path(), most, SECOND, &mut waits);
            (waits.ran, waits.waited, any)
        }
    }

    fn member(is_new: bool) -> Member {
        let key = ProcessKey { pid: 7, start_ticks: 1 };
        Member::new(key, is_new)
    }

    #[test]
    fn what_was_waited_before_the_first_look_does_not_count_but_that_of_new_threads_does() {
        let (proc, mut known) = (Proc::new(), member(false));
        proc.thread(7, "100 500 1\n");
        assert_eq!(proc.read(&mut known, 10), (0, 0, true));
        proc.thread(7, "110 530 1\n");
        proc.thread(8, "5 40 1\n");
        assert_eq!(proc.read(&mut known, 10), (15, 70, true));
        proc.end(8);
        assert_eq!(
            proc.read(&mut known, 10),
            (0, 0, true),
            "what has ended keeps what it had"
        );
        // The id of a thread is used again.
        proc.thread(7, "4 3 1\n");
        assert_eq!(proc.read(&mut known, 10), (4, 3, true));
        assert_eq!(proc.read(&mut member(true), 10), (4, 3, true), "a new process");
    }

    #[test]
    fn more_threads_than_can_be_read_have_their_turn() {
        let (proc, mut known) = (Proc::new(), member(false));
        (1..=5).for_each(|id| proc.thread(id, "10 10 1"));
        // The first round takes them one after another, and none of it counts.
        let first: Vec<_> = (0..3).map(|_| proc.read(&mut known, 2).1).collect();
        assert_eq!(first, [0, 0, 0]);
        (1..=5).for_each(|id| proc.thread(id, "20 30 1"));
        let sum: u64 = (0..3).map(|_| proc.read(&mut known, 2).1).sum();
        assert_eq!(sum, 5 * 20);
    }

    #[test]
    fn who_waited_longer_than_the_time_that_passed_is_left_out() {
        let (proc, mut known) = (Proc::new(), member(false));
        proc.thread(7, "10 10 1");
        proc.read(&mut known, 10);
        proc.thread(7, &format!("10 {} 1", u64::MAX));
        let mut waits = Waits::default();
        known.read(proc.0.path(), 10, SECOND, &mut waits);
        assert_eq!((waits.waited, waits.implausible), (0, 1));
    }

    #[test]
    fn without_counts_or_a_process_there_is_nothing() {
        let (proc, mut known) = (Proc::new(), member(false));
        assert!(!proc.read(&mut known, 10).2);
        proc.thread(7, "0 0 0\n");
        assert!(!proc.read(&mut known, 10).2);
    }
}
