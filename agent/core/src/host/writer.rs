//! Which process wrote a file that names its writer only by the id it has in its own PID namespace.
//!
//! Every container has a process 1, so that such an id is only a hint. A candidate must have it as its innermost id,
//! see the very directory that the file lies in, and have started before the file was written.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;

use super::beneath::{self, DIRECTORY};
use super::process::Processes;
use crate::metric::{ProcessKey, Timestamp};

/// How much later than the file its writer may seem to have started. The kernel stamps files with a clock that lags by
/// up to a tick (10 ms at `HZ=100`), and the wall clock is slewed by up to 500 ppm between the two.
const CLOCK_SLACK: Duration = Duration::from_millis(50);

/// What is known of a file's writer.
#[derive(Debug, Clone)]
pub struct WriterHint {
    /// The writer's id in its own PID namespace.
    pub pid: u32,
    /// `st_dev` and `st_ino` of the directory that holds the file.
    pub directory: (u64, u64),
    /// Where that directory may be in the writer's file system, e.g. `/tmp/hmon_files`.
    pub seen_as: Vec<PathBuf>,
    /// When the file was last written (its `mtime`).
    pub written: Timestamp,
}

/// Result of a search for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// This process and no other fits.
    One(ProcessKey),
    /// No process fits: the writer has ended.
    None,
    /// Number of processes that fit.
    Several(usize),
}

/// The writer of a file.
///
/// Fails where `/proc` cannot be read, and where no process fits but one with that id may not be looked into (needs
/// `CAP_SYS_PTRACE`): whether it has ended is then unknown.
pub fn find(processes: &Processes, hint: &WriterHint) -> io::Result<Writer> {
    let found = candidates(processes, hint)?;
    Ok(match found[..] {
        [] => Writer::None,
        [one] => Writer::One(one),
        _ => Writer::Several(found.len()),
    })
}

/// Every process that fits, for a caller that knows more of the writer than the hint holds. Fails as [`find`] does.
pub fn candidates(processes: &Processes, hint: &WriterHint) -> io::Result<Vec<ProcessKey>> {
    let mut found = Vec::new();
    let mut refused = None;
    for pid in processes.pids()? {
        match fits(processes, pid, hint) {
            Ok(Some(key)) => found.push(key),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                refused = Some(io::Error::new(
                    error.kind(),
                    format!("cannot look into the root directory of process {pid} (needs CAP_SYS_PTRACE): {error}"),
                ));
            }
            // It ended meanwhile.
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
    // Nothing above holds the process: its id may have been given to another one between two of the reads.
    Ok(processes.is_alive(key).then_some(key))
}

/// Process 1 beside kernel threads, which only the outermost PID namespace shows, is the machine's init. It writes no
/// such files, but sees each directory that containers share with the host, where many a writer is a process 1.
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
