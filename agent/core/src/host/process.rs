//! Processes in `/proc`.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::{Process, Stat, StatFlags};

use super::HostRoots;
use super::bounded::{open_now, read_bounded};
use super::stuck;
use crate::metric::ProcessKey;

/// Limit in bytes of `/proc/<pid>/{status,cgroup,comm}`. `status` grows with the number of CPUs (`Cpus_allowed`) and
/// groups, `cgroup` with the number of hierarchies times the longest path (4 KiB).
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Limit in bytes of `/proc/<pid>/{cmdline,environ}`, which the kernel bounds by the stack's limit alone.
const MAX_LIST_BYTES: usize = 256 * 1024;

/// Most threads of a process that are asked for what all of them have.
const MAX_THREADS: usize = 16;

/// Suffix of the kernel for the path of an executable that has been replaced or removed (`d_path`, fs/d_path.c).
const DELETED: &[u8] = b" (deleted)";

/// A line of `/proc/<pid>/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: PathBuf,
    /// Type of the file system.
    pub kind: String,
    /// Major and minor number of the file system's device, the same in all namespaces in which it is mounted.
    pub device: String,
}

/// Reader of the host's `/proc`.
#[derive(Debug, Clone)]
pub struct Processes {
    proc: PathBuf,
}

impl Processes {
    /// Reader for the host.
    pub fn new(roots: &HostRoots) -> Self {
        Self { proc: roots.proc() }
    }

    /// All process ids that `/proc` lists now.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        Ok(self.listed()?.map(|(pid, _)| pid).collect())
    }

    /// All process ids that `/proc` lists now, with the inode numbers of their directories. A process keeps that at least as long
    /// as the kernel has memory for it, and a later one of the same id has another: the kernel makes it for the process
    /// (`proc_pid_make_inode`) and gives it up with it (`proc_flush_pid`, fs/proc/base.c, Linux 6.18).
    pub fn listed(&self) -> io::Result<impl Iterator<Item = (u32, u64)> + use<>> {
        let entries = std::fs::read_dir(&self.proc)?;
        Ok(entries.filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.ino()))
        }))
    }

    /// Whether `/proc` is that of the machine's own PID namespace, which has all processes: the kernel's threads are in no other.
    pub fn shows_kernel(&self) -> bool {
        // The second process is the parent of these threads (`rest_init`, init/main.c).
        self.user_key(2).is_ok_and(|key| key.is_none())
    }

    /// Path `/proc/<pid>/<name>` as seen from here.
    pub fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.folder(pid).join(name)
    }

    fn folder(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// The same of this process.
    pub(super) fn own_path(&self, name: &str) -> PathBuf {
        self.proc.join("self").join(name)
    }

    /// The process that has that id now.
    pub fn key(&self, pid: u32) -> io::Result<ProcessKey> {
        Ok(ProcessKey {
            pid,
            start_ticks: self.stat(pid)?.starttime,
        })
    }

    /// The process that has that id now; `None` for a kernel thread, which has the host's root and a low id and could
    /// otherwise be taken for a container's process.
    pub fn user_key(&self, pid: u32) -> io::Result<Option<ProcessKey>> {
        let stat = self.stat(pid)?;
        let kernel = StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_KTHREAD);
        Ok((!kernel).then_some(ProcessKey {
            pid,
            start_ticks: stat.starttime,
        }))
    }

    /// Whether the same process still exists and is no zombie. One whose first thread alone has ended is none; one that does not
    /// let itself be read is not known to have ended.
    pub fn is_alive(&self, key: ProcessKey) -> bool {
        let runs = |stat: &Stat| !matches!(stat.state, 'Z' | 'X') || stat.num_threads > 1;
        match self.stat(key.pid) {
            Ok(stat) => stat.starttime == key.start_ticks && runs(&stat),
            Err(error) => matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy),
        }
    }

    /// Those of these processes that are alive. To ask for all at once costs less.
    pub fn alive(&self, keys: Vec<ProcessKey>) -> HashSet<ProcessKey> {
        let (all, these) = (self.clone(), keys.clone());
        let alive = stuck::apart(move || these.iter().copied().filter(|key| all.is_alive(*key)).collect());
        // Where nothing can be read, none is known to have ended.
        alive.unwrap_or_else(|_| keys.into_iter().collect())
    }

    /// Ids of its threads, itself included; none if it has ended.
    pub fn threads(&self, pid: u32) -> Vec<u32> {
        let entries = std::fs::read_dir(self.path(pid, "task"));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    /// Those that it has beside its first one, which may have ended before them.
    pub fn other_threads(&self, pid: u32) -> impl Iterator<Item = u32> {
        // The folder has two links and one for each thread (`proc_task_getattr`, fs/proc/base.c). Most processes without
        // descriptors are the kernel's, which have one thread.
        let task = std::fs::metadata(self.path(pid, "task"));
        let is_alone = task.is_ok_and(|task| task.nlink() == 3);
        let all = if is_alone { Vec::new() } else { self.threads(pid) };
        all.into_iter().filter(move |thread| *thread != pid)
    }

    /// As [`file`](Self::file), of its first thread or, where that has ended before them, of another one: nothing is found of it then.
    pub fn of_any_thread<T: Send + 'static>(
        &self,
        pid: u32,
        name: &str,
        read: impl Fn(&Path) -> io::Result<T> + Clone + Send + 'static,
    ) -> io::Result<T> {
        match self.file(pid, name, read.clone()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut others = self.other_threads(pid).take(MAX_THREADS);
                let of = |thread| self.file(pid, &format!("task/{thread}/{name}"), read.clone()).ok();
                others.find_map(of).ok_or(error)
            }
            first => first,
        }
    }

    /// What a thread of it is doing: the state of `/proc/<pid>/task/<tid>/stat`, and the kernel's function in which it waits,
    /// where that is shown.
    pub fn thread_state(&self, pid: u32, thread: u32) -> io::Result<(char, String)> {
        stuck::file(pid, &self.folder(pid), &format!("task/{thread}"), |thread| {
            let stat = Stat::from_file(thread.join("stat")).map_err(into_io)?;
            let waits = read_bounded(&thread.join("wchan"), MAX_TEXT_BYTES);
            let waits = String::from_utf8_lossy(&waits.unwrap_or_default()).into_owned();
            Ok((stat.state, waits))
        })
    }

    /// Its ids from the outermost PID namespace that `/proc` shows to its own (`NSpid` of `/proc/<pid>/status`, Linux 4.1).
    /// Before that, the outermost alone.
    pub fn ns_pids(&self, pid: u32) -> io::Result<Vec<u32>> {
        Ok(numbers(&self.status(pid)?, b"NSpid:").unwrap_or_else(|| vec![pid]))
    }

    /// Its real, effective, saved and file system user (`Uid` of `/proc/<pid>/status`), as the user namespace of this process
    /// has them. Unlike the owner of its files in `/proc`, they are not root's where it may not be dumped.
    pub fn users(&self, pid: u32) -> io::Result<Vec<u32>> {
        Ok(numbers(&self.status(pid)?, b"Uid:").unwrap_or_default())
    }

    /// Its [ids](Self::ns_pids) and its [users](Self::users), read at once.
    pub fn ids(&self, pid: u32) -> io::Result<(Vec<u32>, Vec<u32>)> {
        let status = self.status(pid)?;
        let ids = numbers(&status, b"NSpid:").unwrap_or_else(|| vec![pid]);
        Ok((ids, numbers(&status, b"Uid:").unwrap_or_default()))
    }

    /// Its real user, who has started it: a program that runs as its owner (`setuid`) does not change it.
    pub fn real_user(&self, pid: u32) -> Option<u32> {
        self.users(pid).ok()?.first().copied()
    }

    fn status(&self, pid: u32) -> io::Result<Vec<u8>> {
        // procfs' own reader of `status` fails on a name that is not UTF-8, and any process can set such a name.
        read_bounded(&self.path(pid, "status"), MAX_TEXT_BYTES)
    }

    /// Base name of its executable, without the kernel's suffix for a replaced file.
    ///
    /// Fails for a kernel thread, and if the reader may not trace the process.
    pub fn executable_name(&self, pid: u32) -> io::Result<String> {
        use std::os::unix::ffi::OsStrExt;
        let path = self.of_any_thread(pid, "exe", |path| std::fs::read_link(path))?;
        let path = path.as_os_str().as_bytes();
        let path = path.strip_suffix(DELETED).unwrap_or(path);
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// Name that the process has set (at most 15 bytes), readable by every user.
    pub fn command_name(&self, pid: u32) -> io::Result<String> {
        let comm = read_bounded(&self.path(pid, "comm"), MAX_TEXT_BYTES)?;
        Ok(String::from_utf8_lossy(&comm).trim_end_matches('\n').to_owned())
    }

    /// Content of `/proc/<pid>/cgroup`: one line per hierarchy.
    pub fn cgroup(&self, pid: u32) -> io::Result<String> {
        let text = read_bounded(&self.path(pid, "cgroup"), MAX_TEXT_BYTES)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Its command line.
    pub fn arguments(&self, pid: u32) -> io::Result<Vec<String>> {
        self.list(pid, "cmdline")
    }

    /// Its environment when it began, `NAME=value` each (needs `CAP_SYS_PTRACE`).
    pub fn environment(&self, pid: u32) -> io::Result<Vec<String>> {
        self.list(pid, "environ")
    }

    /// What is mounted as it sees that.
    pub fn mounts(&self, pid: u32) -> io::Result<Vec<Mount>> {
        let mounts = self.open(pid)?.mountinfo().map_err(into_io)?;
        let mounts = mounts.into_iter().map(|mount| Mount {
            point: mount.mount_point,
            kind: mount.fs_type,
            device: mount.majmin,
        });
        Ok(mounts.collect())
    }

    /// Names of its PID and user namespaces, such as `user:[4026531837]`, unique while any process is in them.
    pub fn namespaces(&self, pid: u32) -> io::Result<[PathBuf; 2]> {
        Ok([self.link(pid, "ns/pid")?, self.link(pid, "ns/user")?])
    }

    /// Number of its mount namespace, unique while any process is in it.
    pub fn mount_namespace(&self, pid: u32) -> io::Result<u64> {
        let link = self.of_any_thread(pid, "ns/mnt", |path| std::fs::read_link(path))?;
        let number = link
            .to_str()
            .and_then(|text| text.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok());
        number.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no namespace number: {}", link.display()),
            )
        })
    }

    /// Path of the `stat` file. Its field `btime` is the host's boot time.
    pub(super) fn boot_file(&self) -> PathBuf {
        self.proc.join("stat")
    }

    /// Texts that each end with a zero.
    fn list(&self, pid: u32, name: &str) -> io::Result<Vec<String>> {
        let bytes = stuck::file(pid, &self.folder(pid), name, |path| read_bounded(path, MAX_LIST_BYTES))?;
        let texts = bytes.split(|byte| *byte == 0).filter(|text| !text.is_empty());
        Ok(texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect())
    }

    fn stat(&self, pid: u32) -> io::Result<Stat> {
        stuck::file(pid, &self.folder(pid), "stat", |path| {
            // Bounded for another reason than its length: a whole file is asked for its size first.
            let file = open_now(path)?.take(MAX_TEXT_BYTES as u64);
            Stat::from_read(file).map_err(into_io)
        })
    }

    /// Where a link leads.
    fn link(&self, pid: u32, name: &str) -> io::Result<PathBuf> {
        stuck::file(pid, &self.folder(pid), name, |path| std::fs::read_link(path))
    }

    /// What `read` returns of the file `/proc/<pid>/<name>`, or below it, which the kernel may not let be read for as long as
    /// the process starts a program (see [`stuck`]).
    pub fn file<T: Send + 'static>(
        &self,
        pid: u32,
        name: &str,
        read: impl Fn(&Path) -> io::Result<T> + Clone + Send + 'static,
    ) -> io::Result<T> {
        stuck::file(pid, &self.folder(pid), name, read)
    }

    fn open(&self, pid: u32) -> io::Result<Process> {
        Process::new_with_root(self.folder(pid)).map_err(into_io)
    }
}

/// The numbers in a line of a status; `None` without that line.
fn numbers(status: &[u8], name: &[u8]) -> Option<Vec<u32>> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let line = lines
        .find_map(|line| line.strip_prefix(name))
        .map(String::from_utf8_lossy)?;
    let numbers = line.split_whitespace().filter_map(|number| number.parse().ok());
    Some(numbers.collect())
}

fn into_io(error: procfs::ProcError) -> io::Error {
    use procfs::ProcError;
    match error {
        ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}
