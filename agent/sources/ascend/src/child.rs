//! Runs the tool with a deadline and a limit on its output, and kills it with its descendants.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::npu_smi::MAX_BYTES;

/// Longest wait for the exit of a killed tool; after that it stays behind unreaped.
const KILL_TIMEOUT: Duration = Duration::from_millis(200);
/// Interval of checks for the tool's exit while a descendant of it keeps the pipe open.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Most bytes of standard error that are kept.
const MAX_STDERR_BYTES: usize = 4096;

/// Result of a run that ended.
#[derive(Debug)]
pub struct Finished {
    /// Standard output; invalid UTF-8 is replaced.
    pub stdout: String,
    /// The beginning of standard error.
    pub stderr: String,
    /// Exit status.
    pub status: ExitStatus,
    /// Duration.
    pub took: Duration,
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The tool could not be started.
    #[error("{program} could not be started; set ascend.npu_smi to the tool's path")]
    Spawn {
        /// Path of the program.
        program: String,
        /// Error of the system.
        #[source]
        source: io::Error,
    },
    /// The tool did not end in time.
    #[error("npu-smi did not end within {:.1} s and was killed: the driver is overloaded or hangs (see `dmesg`, and who \
             else asks it); ascend.timeout sets how long it may take", .0.as_secs_f64())]
    Deadline(Duration),
    /// The tool of an earlier run was killed and hangs in the kernel; no other is started beside it.
    #[error("npu-smi was killed {:.0} s ago and still hangs in the driver: no other is started beside it; a reset of the \
             device or a reboot ends it", .0.as_secs_f64())]
    StillThere(Duration),
    /// The output exceeds the limit.
    #[error("npu-smi printed more than {MAX_BYTES} bytes and was killed")]
    TooLong,
    /// Reading from the tool failed.
    #[error("the pipe from npu-smi failed")]
    Pipe(#[source] io::Error),
}

/// Runs one process at a time.
#[derive(Debug, Default)]
pub struct Child {
    left_behind: Option<(std::process::Child, Instant)>,
}

impl Child {
    /// Runs `program` to its end, and kills what is left of its process group. Returns at the latest after `timeout`
    /// and the time that killing takes.
    pub fn run(
        &mut self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Finished, ChildError> {
        if let Some((child, killed)) = &mut self.left_behind {
            if matches!(child.try_wait(), Ok(None)) {
                return Err(ChildError::StillThere(killed.elapsed()));
            }
            self.left_behind = None;
        }
        let started = Instant::now();
        let mut running = Running::start(program, arguments, environment)?;
        let ended = running.read_until_exit(started + timeout, timeout);
        running.kill();
        let status = running.wait(KILL_TIMEOUT);
        let Running {
            child, stdout, stderr, ..
        } = running;
        if status.is_none() {
            self.left_behind = Some((child, Instant::now()));
        }
        ended?;
        Ok(Finished {
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            status: status.ok_or(ChildError::Deadline(timeout))?,
            took: started.elapsed(),
        })
    }
}

struct Running {
    child: std::process::Child,
    output: Option<std::process::ChildStdout>,
    errors: Option<std::process::ChildStderr>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Running {
    fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, ChildError> {
        let mut child = std::process::Command::new(program)
            .args(arguments.iter().map(OsStr::new))
            .env("LC_ALL", "C")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| ChildError::Spawn {
                program: program.display().to_string(),
                source,
            })?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        // Built before anything can fail, because from here on the child must be killed and reaped.
        let running = Self {
            child,
            output,
            errors,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let pipes = [
            running.output.as_ref().map(AsFd::as_fd),
            running.errors.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            fcntl_getfl(pipe)
                .and_then(|flags| fcntl_setfl(pipe, flags | OFlags::NONBLOCK))
                .map_err(|error| ChildError::Pipe(error.into()))?;
        }
        Ok(running)
    }

    /// Reads until the tool has exited and its pipes are empty.
    fn read_until_exit(&mut self, until: Instant, timeout: Duration) -> Result<(), ChildError> {
        loop {
            // In this order, so that output from just before the exit is still read.
            let has_exited = self.has_exited();
            self.read().map_err(ChildError::Pipe)?;
            if self.stdout.len() > MAX_BYTES {
                return Err(ChildError::TooLong);
            }
            if has_exited {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChildError::Deadline(timeout));
            }
            self.wait_for_output(left.min(POLL_INTERVAL))
                .map_err(ChildError::Pipe)?;
        }
    }

    fn wait_for_output(&self, timeout: Duration) -> io::Result<()> {
        let timespec = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let pipes = [
            self.output.as_ref().map(AsFd::as_fd),
            self.errors.as_ref().map(AsFd::as_fd),
        ];
        let mut files: Vec<PollFd<'_>> = pipes
            .into_iter()
            .flatten()
            .map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN))
            .collect();
        if files.is_empty() {
            // The tool closed its pipes and is about to exit.
            std::thread::sleep(timeout.min(Duration::from_millis(2)));
            return Ok(());
        }
        match poll(&mut files, Some(&timespec)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is available. A pipe at its end is closed, so that it does not wake the loop again.
    fn read(&mut self) -> io::Result<()> {
        if read_available(self.output.as_mut(), &mut self.stdout, MAX_BYTES + 1)? {
            self.output = None;
        }
        let mut errors = Vec::new();
        if read_available(self.errors.as_mut(), &mut errors, MAX_BYTES)? {
            self.errors = None;
        }
        errors.truncate(MAX_STDERR_BYTES.saturating_sub(self.stderr.len()));
        self.stderr.append(&mut errors);
        Ok(())
    }

    /// Whether the tool has exited. Does not reap it: until then its id, which names the process group, is not reused.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let state = self.pid().and_then(|pid| waitid(WaitId::Pid(pid), options).transpose());
        matches!(state, Some(Ok(_)))
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill(&self) {
        if let Some(group) = self.pid() {
            // Fails only if no process of the group is left.
            kill_process_group(group, Signal::KILL).ok();
        }
    }

    /// Waits for the exit and reaps the child.
    fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + timeout;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                _ if Instant::now() >= until => return None,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Appends what is available; returns whether the pipe is at its end.
fn read_available(pipe: Option<&mut impl Read>, to: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(false) };
    let mut chunk = [0; 16 << 10];
    while to.len() < most {
        match pipe.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(count) => to.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
