//! The host's threads.

use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;

/// The host's threads, as `/proc` shows them.
#[derive(Debug)]
pub(super) struct HostThreads {
    processes: Processes,
    /// Whether `/proc` is of the initial PID namespace, in which the eBPF programs' ids are: only there are kernel
    /// threads.
    initial: bool,
}

impl HostThreads {
    pub(super) fn new(roots: &HostRoots) -> Self {
        let processes = Processes::new(roots);
        Self {
            initial: processes.user_key(2).is_ok_and(|key| key.is_none()),
            processes,
        }
    }

    /// Whether the programs' ids of processes are those of this `/proc`.
    pub(super) fn are_numbered_alike(&self) -> bool {
        self.initial
    }

    /// Whether a thread of a process exists; `true` where that cannot be known.
    pub(super) fn exists(&self, process: u32, thread: u32) -> bool {
        let path = self.processes.path(process, "task").join(thread.to_string());
        !self.initial || !matches!(path.try_exists(), Ok(false))
    }
}
