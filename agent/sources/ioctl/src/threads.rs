//! Which threads there are.

use super::drain::Threads;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;

/// The host's threads, as far as its `/proc` shows them.
#[derive(Debug)]
pub(super) struct HostThreads {
    processes: Processes,
    /// Kernel threads are seen, which only the outermost PID namespace shows: the ids are those that programs see.
    outermost: bool,
}

impl HostThreads {
    pub(super) fn new(roots: &HostRoots) -> Self {
        let processes = Processes::new(roots);
        Self {
            outermost: processes.user_key(2).is_ok_and(|key| key.is_none()),
            processes,
        }
    }
}

impl Threads for HostThreads {
    fn is_there(&self, process: u32, thread: u32) -> bool {
        let path = self.processes.path(process, "task").join(thread.to_string());
        !self.outermost || !matches!(path.try_exists(), Ok(false))
    }
}
