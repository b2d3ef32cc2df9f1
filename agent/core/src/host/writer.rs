//! Search for the process that wrote a file which names its writer only by the id in the writer's own PID namespace.
//!
//! Every container has a process 1, so that such an id is only a hint. A candidate must have it as its innermost id,
//! see the same directory that contains the file, and have started before the file was written.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;

use super::beneath::{self, DIRECTORY};
use super::process::Processes;
use crate::metric::{ProcessKey, Timestamp};

/// Tolerance for a writer's start after the write of its file. The kernel stamps files with a clock that lags by up to
/// a tick (10 ms at `HZ=100`), and the wall clock is slewed by up to 500 ppm between the two.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

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
}

/// The writer of a file.
///
/// Fails if `/proc` cannot be read, and if no process matches but access to one with that id is denied (needs
/// `CAP_SYS_PTRACE`): whether it has ended is then unknown.
pub fn find(processes: &Processes, hint: &WriterHint) -> io::Result<Writer> {
    find_among(processes, &processes.pids()?, hint)
}

/// As [`find`], among these processes: for a caller that knows which of them have the hint's id.
pub fn find_among(processes: &Processes, pids: &[u32], hint: &WriterHint) -> io::Result<Writer> {
    let found = candidates_among(processes, pids, hint)?;
    Ok(match found[..] {
        [] => Writer::None,
        [one] => Writer::One(one),
        _ => Writer::Several(found.len()),
    })
}

/// All processes that match, for a caller with more facts about the writer than the hint. Fails as [`find`] does.
pub fn candidates(processes: &Processes, hint: &WriterHint) -> io::Result<Vec<ProcessKey>> {
    candidates_among(processes, &processes.pids()?, hint)
}

fn candidates_among(processes: &Processes, pids: &[u32], hint: &WriterHint) -> io::Result<Vec<ProcessKey>> {
    let mut found = Vec::new();
    let mut refused = None;
    for &pid in pids {
        match fits(processes, pid, hint) {
            Ok(Some(key)) => found.push(key),
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
    match refused {
        Some(refused) if found.is_empty() => Err(refused),
        _ => Ok(found),
    }
}

fn fits(processes: &Processes, pid: u32, hint: &WriterHint) -> io::Result<Option<ProcessKey>> {
    if processes.ns_pids(pid)?.last() != Some(&hint.pid) || (pid == 1 && is_machines_init(processes)) {
        return Ok(None);
    }
    let Some(key) = processes.user_key(pid)? else {
        return Ok(None);
    };
    if processes.started(key)?.since(hint.written) > CLOCK_SLACK || !sees(processes, pid, hint)? {
        return Ok(None);
    }
    // The process is not pinned: its id may have been reused between two of the reads.
    Ok(processes.is_alive(key).then_some(key))
}

/// Process 1 beside kernel threads, which are visible in the outermost PID namespace only, is the machine's init. It
/// writes no such files, but sees each directory that containers share with the host, where many writers are a process
/// 1.
fn is_machines_init(processes: &Processes) -> bool {
    processes.user_key(2).is_ok_and(|key| key.is_none())
}

fn sees(processes: &Processes, pid: u32, hint: &WriterHint) -> io::Result<bool> {
    let root = rustix::fs::open(processes.path(pid, "root"), DIRECTORY, Mode::empty())?;
    Ok(hint
        .seen_as
        .iter()
        .any(|path| identity(&root, path).is_ok_and(|identity| identity == hint.directory)))
}

fn identity(root: &OwnedFd, path: &Path) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(beneath::open(root, path, DIRECTORY)?)?;
    // The widths differ between architectures.
    #[allow(clippy::useless_conversion, reason = "no conversion on 64-bit targets")]
    Ok((u64::from(stat.st_dev), u64::from(stat.st_ino)))
}
