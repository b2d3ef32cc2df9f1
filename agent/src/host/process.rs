//! Processes, as `/proc` shows them.

use std::io;
use std::path::PathBuf;

use procfs::process::Process;

use super::HostRoots;
use crate::metric::ProcessKey;

/// Reader of the host's `/proc`.
#[derive(Debug, Clone)]
pub struct Processes {
    proc: PathBuf,
}

impl Processes {
    /// Of the host.
    pub fn new(roots: &HostRoots) -> Self {
        Self { proc: roots.proc() }
    }

    /// Every process id that `/proc` lists now.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let entries = std::fs::read_dir(&self.proc)?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// `/proc/<pid>/<name>` as seen from here.
    pub fn path(&self, pid: u32, name: &str) -> PathBuf {
        self.proc.join(pid.to_string()).join(name)
    }

    /// The process with that id now.
    pub fn key(&self, pid: u32) -> io::Result<ProcessKey> {
        let stat = self.open(pid)?.stat().map_err(into_io)?;
        Ok(ProcessKey {
            pid,
            start_ticks: stat.starttime,
        })
    }

    /// Whether that very process is still there and no zombie.
    pub fn is_alive(&self, key: ProcessKey) -> bool {
        let stat = self.open(key.pid).and_then(|process| process.stat().map_err(into_io));
        stat.is_ok_and(|stat| stat.starttime == key.start_ticks && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Its ids from the outermost PID namespace that `/proc` shows to its own (`NSpid` of `/proc/<pid>/status`, Linux 4.1).
    pub fn ns_pids(&self, pid: u32) -> io::Result<Vec<u32>> {
        let status = self.open(pid)?.status().map_err(into_io)?;
        let ids = status.nspid.unwrap_or_default();
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }

    fn open(&self, pid: u32) -> io::Result<Process> {
        Process::new_with_root(self.proc.join(pid.to_string())).map_err(into_io)
    }
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
