//! The writing processes, from their start to their end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, PipeWriter, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::SimulateError;
use super::file;
use super::options::Options;
use super::writer::{Assignment, WRITER_ARGS};

/// How long a writer may take to end; it has nothing to do but to unlink a file.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files of killed writers that are kept.
const LEFT_BEHIND: usize = 64;

/// Ends its processes when it is dropped.
pub(super) struct Fleet {
    options: Options,
    writers: Vec<Option<Writer>>,
    /// Writers that the fleet killed, oldest first.
    killed: VecDeque<u32>,
}

struct Writer {
    child: Child,
    /// Its standard input: when this closes, the writer ends.
    life: PipeWriter,
}

impl Fleet {
    pub(super) fn start(options: Options) -> Result<Self, SimulateError> {
        options.check()?;
        // Each writer does it too, but here the error comes once and before anything runs.
        let dir = &options.dir;
        file::create_dir(dir).map_err(|source| SimulateError::Directory {
            path: dir.clone(),
            source,
        })?;
        let mut fleet = Self {
            writers: Vec::new(),
            killed: VecDeque::new(),
            options,
        };
        for process in 0..fleet.options.processes {
            let writer = fleet.spawn(process).map_err(SimulateError::Spawn)?;
            fleet.writers.push(Some(writer));
        }
        Ok(fleet)
    }

    fn spawn(&self, process: u32) -> io::Result<Writer> {
        let assignment = Assignment {
            options: self.options.clone(),
            process,
        };
        let (assigned, mut life) = io::pipe()?;
        // It is shorter than what a pipe holds.
        writeln!(life, "{}", serde_json::to_string(&assignment)?)?;
        let interval = assignment.options.interval.as_millis().to_string();
        let child = Command::new(std::env::current_exe()?)
            .args(WRITER_ARGS)
            // As an application is started whose runtime writes at that interval.
            .env("HAILO_MONITOR", "1")
            .env("HAILO_MONITOR_TIME_INTERVAL", interval)
            .stdin(assigned)
            .stdout(Stdio::null())
            // Ctrl-C is for the simulator, which ends its writers in order; as a signal to them it would leave files.
            .process_group(0)
            .spawn()?;
        Ok(Writer { child, life })
    }

    /// Takes note of writers that ended. They are not replaced: what was killed from outside stays dead.
    pub(super) fn reap(&mut self) -> Result<(), SimulateError> {
        for slot in &mut self.writers {
            let Some(writer) = slot else { continue };
            let pid = writer.child.id();
            let Some(status) = writer
                .child
                .try_wait()
                .map_err(SimulateError::system("cannot wait for a writer"))?
            else {
                continue;
            };
            *slot = None;
            if status.signal().is_none() {
                return Err(SimulateError::Writer { pid, status });
            }
            tracing::warn!(pid, %status, "a writer was killed; its file stays behind");
        }
        if self.writers.iter().all(Option::is_none) && !self.options.kill_some {
            return Err(SimulateError::NoneLeft);
        }
        Ok(())
    }

    /// Kills the writer `turn` selects, if it still lives, and starts another in its place.
    pub(super) fn replace(&mut self, turn: u64) -> Result<(), SimulateError> {
        let process = (turn % self.writers.len() as u64) as usize;
        if let Some(mut writer) = self.writers[process].take() {
            end_at_once(&mut writer.child);
            self.killed.push_back(writer.child.id());
            tracing::info!(pid = writer.child.id(), "killed a writer; its file stays behind");
        }
        if self.killed.len() > LEFT_BEHIND
            && let Some(pid) = self.killed.pop_front()
        {
            remove_files_of(&self.options.dir, pid);
        }
        self.writers[process] = Some(self.spawn(process as u32).map_err(SimulateError::Spawn)?);
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let mut writers: Vec<Child> = self.writers.drain(..).flatten().map(Writer::end).collect();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            writers.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if writers.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for mut child in writers {
            tracing::warn!(
                pid = child.id(),
                "a writer did not end in time and is killed; its file stays behind"
            );
            end_at_once(&mut child);
        }
    }
}

impl Writer {
    /// Asks for a normal end.
    fn end(self) -> Child {
        drop(self.life);
        // A stopped one must run again to see it.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32)
            && let Err(error) = kill_process(pid, Signal::CONT)
        {
            tracing::debug!(pid = self.child.id(), %error, "the writer is gone already");
        }
        self.child
    }
}

fn end_at_once(child: &mut Child) {
    // Both fail only for a process that has been waited for, which is what they are to achieve.
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::debug!(pid = child.id(), %error, "the writer is gone already");
    }
}

/// A killed process's files: its pid, six characters, and `.tmp` where it was killed while writing.
fn remove_files_of(dir: &Path, pid: u32) {
    let pid = pid.to_string();
    let of_pid = |name: &OsStr| {
        let name = name.to_str().map(|name| name.strip_suffix(".tmp").unwrap_or(name));
        name.and_then(|name| name.strip_prefix(&pid))
            .is_some_and(|suffix| suffix.len() == 6)
    };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if of_pid(&entry.file_name())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::debug!(path = %entry.path().display(), %error, "cannot remove an old file");
        }
    }
}
