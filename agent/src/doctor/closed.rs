//! Processes that this one may not look into.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use accelscope_core::host::callers::Callers;
use accelscope_core::host::process::Processes;

/// Time for a process to be looked at, and the most that have not been at one time: the root directory of one may be in a file
/// system that does not answer.
const PATIENCE: Duration = Duration::from_millis(300);
const MAX_HUNG: usize = 8;

/// Those whose files or view of the file system may not be looked at. Of one that does not answer that is not known.
pub(super) fn closed(processes: &Processes, pids: &[u32]) -> Vec<u32> {
    let callers = Callers::new("doctor-roots", MAX_HUNG);
    let is_closed = |pid: &u32| {
        let (processes, pid) = (processes.clone(), *pid);
        let call = callers.start(move || is_closed(&processes, pid));
        call.is_ok_and(|call| call.wait(Instant::now() + PATIENCE) == Some(true))
    };
    pids.iter().copied().filter(is_closed).collect()
}

/// Whether access to its files or its view of the file system is denied. Processes that have ended are not.
fn is_closed(processes: &Processes, pid: u32) -> bool {
    let denied = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    let files = fs::read_dir(processes.path(pid, "fd")).map(drop);
    // The kernel checks the right to follow the link, and does not ask the file system (`do_o_path` in fs/namei.c) unless it is a
    // network's.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(processes.path(pid, "root"), flags, Mode::empty());
    files.and(root.map(drop).map_err(Into::into)).is_err_and(denied)
}
