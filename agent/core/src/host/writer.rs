//! Search for the process that wrote a file which names its writer only by the id in the writer's own PID namespace.
//!
//! Every container has a process 1, so that such an id is only a hint. A candidate must have it as its innermost id,
//! see the same directory that contains the file, and have started before the file was written. Since anybody can write any
//! id, it must also be of the user that owns the file: of those that pass all but that, none is the writer. Root is the same
//! user in every container without a user namespace, so that where several containers may share the directory, a candidate
//! must also be shown to write such files at all.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::authority::has_all_users;
use super::beneath::{self, DIRECTORY};
use super::bounded::read_bounded;
use super::callers::Callers;
use super::process::Processes;
use crate::metric::{ProcessKey, Timestamp};

/// Tolerance for a writer's start after the write of its file. The kernel stamps files with a clock that lags by up to
/// a tick (10 ms at `HZ=100`), and the wall clock is slewed by up to 500 ppm between the two.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// Most bytes of a map of users: 340 lines (`UID_GID_MAP_MAX_EXTENTS`).
const MAX_MAP_BYTES: usize = 64 * 1024;
/// Default of `kernel.overflowuid`: the owner of files whose owner the user namespace does not have.
pub const OVERFLOW_USER: u32 = 65_534;

/// Time for a file system to open a directory of a process, and the most that have not answered at one time.
const PATIENCE: Duration = Duration::from_millis(300);
const MAX_HUNG: usize = 8;

/// Most candidates of which proof is sought. More than that cannot be distinguished.
const MAX_PROVEN: usize = 64;
/// Most processes with the id that are looked into, those of the file's owner first. Anybody can make a great many with the id 1.
const MAX_LOOKED_INTO: usize = 1024;

/// Known facts about a file's writer.
#[derive(Debug, Clone)]
pub struct WriterHint {
    /// The writer's id in its own PID namespace.
    pub pid: u32,
    /// `st_dev` and `st_ino` of the directory that holds the file.
    pub directory: (u64, u64),
    /// Paths that the directory may have in the writer's file system, e.g. `/tmp/hmon_files`.
    pub seen_as: Vec<PathBuf>,
    /// Time of the last write (`mtime`).
    pub written: Timestamp,
    /// Whose it is: its owner (`st_uid`), or who serves its file system. `None` where nothing shows it: others may write to the
    /// file too, or its file system is a program of somebody, which can name any owner.
    pub user: Option<u32>,
    /// Its name in the directory and its inode, where the writer may see it with another owner (an id-mapped mount).
    pub file: Option<(OsString, u64)>,
}

/// Result of a search for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Exactly this process matches.
    One(ProcessKey),
    /// No process matches: the writer has ended.
    None,
    /// Several processes match; their number.
    Several(usize),
    /// This process matches but for its user, which does not own the file: that is of somebody who claims it.
    Foreign(ProcessKey),
    /// This process matches, and nothing shows that it writes such files: a process of another container may have.
    Unproven(ProcessKey),
}

/// The processes that match, and one that does but for its user.
#[derive(Debug, Default)]
pub struct Matches {
    of_owner: Vec<ProcessKey>,
    foreign: Option<ProcessKey>,
    /// How many processes were looked into, and how many with the id were not, though they are of the owner or of another user.
    looked_into: usize,
    left_out: [usize; 2],
}

impl Matches {
    /// The writer, as far as they can be told apart.
    pub fn judged(&self) -> Writer {
        let found = self.of_owner.len();
        let [left_out, of_others] = self.left_out;
        match self.of_owner[..] {
            [] if left_out + of_others > 0 => Writer::Several(left_out + of_others),
            [] => self.foreign.map_or(Writer::None, Writer::Foreign),
            [one] if left_out == 0 => Writer::One(one),
            _ => Writer::Several(found + left_out),
        }
    }

    /// The writer among those that `proves` shows to write such files. Two processes with the same id and the same user, of which
    /// one is idle, are distinguished by that alone.
    pub fn proven(&self, processes: &Processes, mut proves: impl FnMut(ProcessKey) -> bool) -> Writer {
        let (Some(first), 1..=MAX_PROVEN) = (self.of_owner.first(), self.of_owner.len()) else {
            return self.judged();
        };
        // An id may have been reused since the process was found.
        let of_owner: Vec<_> = self.of_owner.iter().copied().filter(|key| proves(*key)).collect();
        let proven = Self {
            of_owner: of_owner.into_iter().filter(|key| processes.is_alive(*key)).collect(),
            left_out: [self.left_out[0], 0],
            ..Self::default()
        };
        match proven.judged() {
            Writer::None => Writer::Unproven(*first),
            judged => judged,
        }
    }

    /// How many processes were looked into for them.
    pub const fn looked_into(&self) -> usize {
        self.looked_into
    }
}

/// The writer of a file.
///
/// Fails if `/proc` cannot be read, and if no process matches but access to one with that id is denied (needs
/// `CAP_SYS_PTRACE`): whether it has ended is then unknown.
pub fn find(processes: &Processes, hint: &WriterHint) -> io::Result<Writer> {
    Ok(matches(processes, &processes.pids()?, hint)?.judged())
}

/// The processes that match among these: for a caller that knows which of them have the hint's id. Fails as [`find`].
pub fn matches(processes: &Processes, pids: &[u32], hint: &WriterHint) -> io::Result<Matches> {
    let mut found = Matches::default();
    let mut refused = None;
    let user = hint.user.filter(|user| is_mapped(*user));
    let mut of_users = [Vec::new(), Vec::new()];
    for &pid in pids {
        // One that has ended in between has none, and one that does not let itself be read may be it.
        let ids = match processes.ids(pid) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            ids => Some(ids.unwrap_or_default()),
        };
        if ids.as_ref().is_none_or(|(ids, _)| ids.last() == Some(&hint.pid)) {
            let is_of_owner = |users: &Vec<u32>| user.is_some_and(|user| users.contains(&user));
            let is_of_another = !ids.is_some_and(|(_, users)| is_of_owner(&users));
            of_users[usize::from(is_of_another)].push(pid);
        }
    }
    for (nth, pids) in of_users.into_iter().enumerate() {
        let room = MAX_LOOKED_INTO - found.looked_into;
        found.left_out[nth] = pids.len().saturating_sub(room);
        found.looked_into += pids.len().min(room);
        for pid in pids.into_iter().take(room) {
            match fits(processes, pid, user, hint) {
                Ok(Some((key, true))) => found.of_owner.push(key),
                Ok(Some((key, false))) => found.foreign = Some(key),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    refused = Some(io::Error::new(
                        error.kind(),
                        format!("cannot look into the root directory of process {pid} (needs CAP_SYS_PTRACE): {error}"),
                    ));
                }
                // It has ended in between.
                Ok(None) | Err(_) => {}
            }
        }
    }
    match refused {
        Some(refused) if found.of_owner.is_empty() => Err(refused),
        _ => Ok(found),
    }
}

/// The process with that id, if it matches, and whether it is of the file's owner.
fn fits(
    processes: &Processes,
    pid: u32,
    user: Option<u32>,
    hint: &WriterHint,
) -> io::Result<Option<(ProcessKey, bool)>> {
    // The machine's init writes no such files, but sees each directory that containers share with the host, where many writers are
    // a process 1.
    if processes.ns_pids(pid)?.last() != Some(&hint.pid) || (pid == 1 && processes.shows_kernel()) {
        return Ok(None);
    }
    let Some(key) = processes.user_key(pid)? else {
        return Ok(None);
    };
    if processes.started(key)?.since(hint.written) > CLOCK_SLACK {
        return Ok(None);
    }
    let Some(directory) = seen(processes, pid, hint)? else {
        return Ok(None);
    };
    let is_of_owner = match user {
        // Any of them: a program may have changed its user since it made the file.
        Some(user) => {
            let users = processes.users(pid)?;
            users.contains(&user) || owner_as_seen(&directory, hint).is_some_and(|user| users.contains(&user))
        }
        None => false,
    };
    // The process is not pinned: its id may have been reused between two of the reads.
    Ok(processes.is_alive(key).then_some((key, is_of_owner)))
}

/// The directory of the file as the process has it, if it sees it.
fn seen(processes: &Processes, pid: u32, hint: &WriterHint) -> io::Result<Option<OwnedFd>> {
    let root = processes.of_any_thread(pid, "root", |path| {
        Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
    })?;
    let mut opened = hint.seen_as.iter().filter_map(|path| open_as_seen(&root, path));
    Ok(opened.find(|directory| identity(directory).is_ok_and(|(found, _)| found == hint.directory)))
}

/// The directory at that path of a process, which may have mounted there what does not answer. The directory of the file is in
/// the kernel's memory, and so are all above it, since the caller has it open; a network file system may be asked all the same.
fn open_as_seen(root: &OwnedFd, path: &Path) -> Option<OwnedFd> {
    static CALLERS: LazyLock<Callers> = LazyLock::new(|| Callers::rare("writers", MAX_HUNG));
    match beneath::open_cached(root, path, DIRECTORY) {
        Err(Errno::AGAIN) => {}
        other => return other.ok(),
    }
    let (root, path) = (root.try_clone().ok()?, path.to_owned());
    let call = CALLERS
        .start(move || beneath::open(&root, &path, DIRECTORY).ok())
        .ok()?;
    call.wait(Instant::now() + PATIENCE).flatten()
}

/// The owner of the file where the process sees it: a volume of a pod with a user namespace is mounted there with other users
/// than the host sees (an id-mapped mount).
fn owner_as_seen(directory: &OwnedFd, hint: &WriterHint) -> Option<u32> {
    let (name, inode) = hint.file.as_ref()?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let ((_, found), user) = identity(&file).ok()?;
    (found == *inode).then_some(user)
}

/// `st_dev` and `st_ino`, and the owner, as the kernel has them in memory.
fn identity(file: &OwnedFd) -> io::Result<((u64, u64), u32)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(file, "", flags, StatxFlags::INO | StatxFlags::UID)?;
    let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Ok(((device, stat.stx_ino), stat.stx_uid))
}

/// Whether a user is one, and not the stand-in for all those that this process's user namespace does not have
/// (`kernel.overflowuid`).
fn is_mapped(user: u32) -> bool {
    let read = |path| read_bounded(Path::new(path), MAX_MAP_BYTES).ok();
    let has_all = read("/proc/self/uid_map").is_some_and(|map| has_all_users(&map));
    has_all || {
        let overflow = read("/proc/sys/kernel/overflowuid");
        let overflow = overflow.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
        user != overflow.unwrap_or(OVERFLOW_USER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_is_known_only_where_no_other_of_the_owner_is_left_out() {
        let key = |pid| ProcessKey { pid, start_ticks: 1 };
        let judged = |of_owner: &[u32], left_out| {
            let found = Matches {
                of_owner: of_owner.iter().copied().map(key).collect(),
                foreign: Some(key(9)),
                looked_into: MAX_LOOKED_INTO,
                left_out,
            };
            found.judged()
        };
        assert_eq!(judged(&[], [0, 0]), Writer::Foreign(key(9)));
        assert_eq!(judged(&[7], [0, 0]), Writer::One(key(7)));
        assert_eq!(
            judged(&[7], [0, 5]),
            Writer::One(key(7)),
            "the others are of other users"
        );
        assert_eq!(judged(&[7], [5, 5]), Writer::Several(6));
        assert_eq!(judged(&[], [0, 5]), Writer::Several(5));
    }

    #[test]
    fn those_of_the_file_s_owner_are_looked_into_first() {
        let host = tempfile::tempdir().unwrap();
        let most = MAX_LOOKED_INTO as u32;
        let pids: Vec<u32> = (100..=100 + most).collect();
        for &pid in &pids {
            let process = host.path().join(format!("proc/{pid}"));
            std::fs::create_dir_all(&process).unwrap();
            let user = if pid == 100 + most { 7 } else { 8 };
            std::fs::write(process.join("status"), format!("Uid:\t{user}\nNSpid:\t{pid}\t1\n")).unwrap();
        }
        let hint = WriterHint {
            pid: 1,
            directory: (0, 0),
            seen_as: Vec::new(),
            written: Timestamp::now(),
            user: Some(7),
            file: None,
        };
        let processes = Processes::new(&super::super::HostRoots::new(host.path()));
        let found = matches(&processes, &pids, &hint).unwrap();
        assert_eq!((found.looked_into(), found.left_out), (MAX_LOOKED_INTO, [0, 1]));
    }
}
