//! The agent's own program, as the program of its children.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;

use crate::exhausted;

/// The program that runs, by the kernel's link to it (proc_pid_exe(5)). It leads to the same file after a package has put another
/// version in its place or removed it; that version may not understand this one.
const LINK: &str = "/proc/self/exe";
/// Name of a child in lists of processes, which would be that of the link.
const NAME: &str = "agent";

/// The program of this process, for [`Command`]. Fails where `/proc` is not mounted.
pub fn own_program() -> io::Result<PathBuf> {
    fs::read_link(LINK).map(|_| LINK.into())
}

/// A command that starts `program`, which may be [`own_program`].
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if program == Path::new(LINK) {
        command.arg0(NAME);
    }
    command
}

/// What helps where the agent's own program cannot be started again.
pub fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => {
            "raise the number of processes that it may have (TasksMax of its unit, pids.max, `ulimit -u`)"
        }
        Some(Errno::NOMEM) => "give it more memory (MemoryMax of its unit, the limit of its container)",
        Some(Errno::MFILE) => exhausted::FILES_OF_PROCESS,
        Some(Errno::NFILE) => exhausted::FILES_OF_MACHINE,
        Some(Errno::ACCESS | Errno::PERM) => {
            "let it start its own program: without noexec on its file system, and as seccomp, SELinux and AppArmor permit"
        }
        Some(Errno::NOENT) => "mount /proc, and restart the agent if its program was removed",
        _ => "restart the agent",
    }
}
