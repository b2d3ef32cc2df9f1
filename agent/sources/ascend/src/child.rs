//! One run of the tool: its deadline, the bound on what it prints, and its end.

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

/// How long a killed tool may take to go before it is left behind.
const KILL_PATIENCE: Duration = Duration::from_millis(200);
/// How often it is looked at whether the tool ended while a descendant of it keeps the pipe open.
const LOOK: Duration = Duration::from_millis(100);
/// How much of standard error is kept.
const STDERR_KEPT: usize = 4096;

/// What a run gave.
#[derive(Debug)]
pub struct Finished {
    /// Standard output; what is no UTF-8 is replaced.
    pub stdout: String,
    /// The beginning of standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub took: Duration,
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("{program} could not be started; set ascend.npu_smi to the tool's path")]
    Spawn {
        /// What was to be started.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It did not end in time.
    #[error("npu-smi did not end within {:.1} s and was killed: the driver is overloaded or hangs (see `dmesg`, and who \
             else asks it); ascend.timeout sets how long it may take", .0.as_secs_f64())]
    Deadline(Duration),
    /// An earlier run was killed and hangs in the kernel; no other is started beside it.
    #[error("npu-smi was killed {:.0} s ago and still hangs in the driver: no other is started beside it; a reset of the \
             device or a reboot ends it", .0.as_secs_f64())]
    StillThere(Duration),
    /// It printed more than is looked at.
    #[error("npu-smi printed more than {MAX_BYTES} bytes and was killed")]
    TooLong,
    /// The pipe failed.
    #[error("the pipe from npu-smi failed")]
    Pipe(#[source] io::Error),
}

/// Runs one tool at a time.
#[derive(Debug, Default)]
pub struct Child {
    left_behind: Option<(std::process::Child, Instant)>,
}

impl Child {
    /// Runs `program` to its end, at most for `timeout` and the short time that killing it takes; then it is killed
    /// with its process group.
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
        let ended = running.attend(started + timeout, timeout);
        running.kill();
        let status = running.ended_within(KILL_PATIENCE);
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
        // Before anything can fail: from here on the child must be killed and waited for.
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

    /// Reads until the tool has ended and nothing is left in its pipes.
    fn attend(&mut self, until: Instant, timeout: Duration) -> Result<(), ChildError> {
        loop {
            // In this order, so that what it wrote before its end is still read.
            let has_ended = self.has_ended();
            self.read().map_err(ChildError::Pipe)?;
            if self.stdout.len() > MAX_BYTES {
                return Err(ChildError::TooLong);
            }
            if has_ended {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ChildError::Deadline(timeout));
            }
            self.sleep(left.min(LOOK)).map_err(ChildError::Pipe)?;
        }
    }

    fn sleep(&self, most: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(most).map_err(io::Error::other)?;
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
            // It closed its pipes and is about to end.
            std::thread::sleep(most.min(Duration::from_millis(2)));
            return Ok(());
        }
        match poll(&mut files, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What is there now. A pipe that is at its end is closed, so that it does not wake again.
    fn read(&mut self) -> io::Result<()> {
        if read_some(self.output.as_mut(), &mut self.stdout, MAX_BYTES + 1)? {
            self.output = None;
        }
        let mut errors = Vec::new();
        if read_some(self.errors.as_mut(), &mut errors, MAX_BYTES)? {
            self.errors = None;
        }
        errors.truncate(STDERR_KEPT.saturating_sub(self.stderr.len()));
        self.stderr.append(&mut errors);
        Ok(())
    }

    /// Without collecting it: until then nobody else can get its id, which is also that of the group to be killed.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let state = self.pid().and_then(|pid| waitid(WaitId::Pid(pid), options).transpose());
        matches!(state, Some(Ok(_)))
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn kill(&self) {
        if let Some(group) = self.pid() {
            // It fails only when the whole group is gone already.
            kill_process_group(group, Signal::KILL).ok();
        }
    }

    /// Collects it.
    fn ended_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                _ if Instant::now() >= until => return None,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Whether the pipe is at its end.
fn read_some(pipe: Option<&mut impl Read>, to: &mut Vec<u8>, most: usize) -> io::Result<bool> {
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
