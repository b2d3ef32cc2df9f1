//! Which devices processes hold open, from `/proc/<pid>/fd`.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags};

use super::process::Processes;

/// Most descriptors of one process that are looked at.
const MAX_DESCRIPTORS: usize = 16_384;

/// Numbers of the character devices that a process holds open, one for each descriptor. A walk costs about 5 µs a
/// descriptor (unoptimised, Linux 6.18 on a small virtual machine).
///
/// Fails where the process is gone or may not be looked into (needs `CAP_SYS_PTRACE`).
pub fn char_devices(processes: &Processes, pid: u32) -> io::Result<impl Iterator<Item = u64>> {
    let descriptors = std::fs::read_dir(processes.path(pid, "fd"))?;
    let paths = descriptors.take(MAX_DESCRIPTORS).flatten().map(|entry| entry.path());
    Ok(paths.filter_map(|path| char_device(&path)))
}

/// Without opening it, and without asking a file server that may not answer.
fn char_device(descriptor: &Path) -> Option<u64> {
    let found = rustix::fs::statx(CWD, descriptor, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    let is_device = FileType::from_raw_mode(found.stx_mode.into()) == FileType::CharacterDevice;
    is_device.then(|| rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor))
}

/// CPU time of this thread: a busy machine makes a walk slow, but not dear.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
