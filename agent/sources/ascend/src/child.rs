//! Runs the tool with a deadline and a limit on its output, and kills it with its descendants.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::npu_smi::{MAX_BYTES, quoted};
use super::settings::NAME;
use accelscope_core::host::poll;
use accelscope_core::worker::process::{ended_within, has_ended, kill_group, last_line, set_nonblocking};
use accelscope_core::worker::{
    Lifeline, ProgramEnd, Supervised, end_stopped, environment, orphans, remedy_for_own_program,
};

/// Longest wait for the exit of a killed tool; after that it stays behind unreaped.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// The same for a supervisor that did not end the tool.
const STOPPED_TIMEOUT: Duration = Duration::from_millis(200);
/// Most bytes of standard error that are kept: half of them the first, half of them the last.
const MAX_ERRORS: usize = 8 << 10;
/// Interval of checks for the tool's exit while a descendant of it keeps the pipe open.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Result of a run that ended.
#[derive(Debug)]
pub(super) struct Finished {
    /// Standard output; invalid UTF-8 is replaced.
    pub(super) stdout: String,
    /// The first and the last bytes of standard error; invalid UTF-8 is replaced.
    pub(super) stderr: String,
    /// Exit status.
    pub(super) status: ExitStatus,
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// The tool could not be started.
    #[error("{program} could not be started; set ascend.npu_smi to the tool's path")]
    Spawn {
        /// Path of the program.
        program: String,
        /// Error of the system.
        #[source]
        source: io::Error,
    },
    /// What the tool is started by could not be started: nothing is known of the tool.
    #[error("npu-smi was not called: the agent's own program could not be started to supervise it; {}",
             remedy_for_own_program(.0))]
    Supervisor(#[source] io::Error),
    /// The supervisor ended and has said nothing of the tool.
    #[error("the agent's own process that supervises npu-smi ended with {status}{}; give the agent more memory if it was \
             killed for want of it, else report this", quotation(.printed.as_deref()))]
    SupervisorEnded {
        /// Its exit status.
        status: ExitStatus,
        /// The last line that it printed.
        printed: Option<String>,
    },
    /// The tool did not end in time.
    #[error("npu-smi did not end within {:.1} s and was killed{}: the driver is overloaded or hangs (see `dmesg`, and who \
             else asks it); ascend.timeout sets how long it may take", .after.as_secs_f64(), quotation(.printed.as_deref()))]
    Deadline {
        /// How long it took until then.
        after: Duration,
        /// The last line that it printed.
        printed: Option<String>,
    },
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

fn quotation(line: Option<&str>) -> String {
    line.map_or_else(String::new, |line| format!(" (the last that it printed: {line})"))
}

/// Runs one process at a time.
#[derive(Debug, Default)]
pub(super) struct Child {
    /// The agent's own program, as the supervisor of the tool. Without one, what leaves the tool's process group, and the tool
    /// of an agent that is killed, live on.
    supervisor: Option<PathBuf>,
    left_behind: Option<(std::process::Child, Instant)>,
}

impl Child {
    /// With the agent's own program as the supervisor.
    pub(super) fn supervised_by(program: PathBuf) -> Self {
        Self {
            supervisor: Some(program),
            left_behind: None,
        }
    }

    /// Runs `tool` to its end, and kills what it leaves behind. Returns at the latest after `timeout` and the time that
    /// killing takes.
    pub(super) fn run(&mut self, tool: &Supervised, timeout: Duration) -> Result<Finished, ChildError> {
        if let Some((child, killed)) = &mut self.left_behind {
            let is_there = matches!(child.try_wait(), Ok(None));
            let has_supervisor = self.supervisor.is_some();
            if is_there && !(has_supervisor && end_stopped(child, Duration::ZERO).is_some()) {
                return Err(ChildError::StillThere(killed.elapsed()));
            }
            self.left_behind = None;
        }
        let mut running = Running::start(self.supervisor.as_ref(), tool)?;
        let ended = running.read_until_exit(timeout);
        let reported = running.reported.take();
        let is_supervised = running.lifeline.is_some();
        match running.lifeline.take() {
            // The supervisor kills all that the tool has started, and ends.
            Some(lifeline) => drop(lifeline),
            None => kill_group(&running.child),
        }
        let mut status = ended_within(&mut running.child, KILL_TIMEOUT);
        if status.is_none() && is_supervised {
            status = end_stopped(&mut running.child, STOPPED_TIMEOUT);
        }
        if reported.is_none() {
            // The supervisor may have been killed itself.
            orphans::end();
        }
        let Running {
            child, stdout, stderr, ..
        } = running;
        if status.is_none() {
            self.left_behind = Some((child, Instant::now()));
        }
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let ended = ended?;
        let status = match (reported, status, &ended) {
            (Some(ProgramEnd::NotStarted(source)), ..) => return Err(not_started(tool, source)),
            (Some(ProgramEnd::Exited(status)), ..) => Some(status),
            (None, Some(status), Ended::Exited) if is_supervised => {
                let printed = last_line(&stderr).map(quoted);
                return Err(ChildError::SupervisorEnded { status, printed });
            }
            (None, status, _) => status,
        };
        match (ended, status) {
            (Ended::Exited, Some(status)) => Ok(Finished { stdout, stderr, status }),
            _ => Err(ChildError::Deadline {
                after: timeout,
                printed: last_line(&stderr).or_else(|| last_line(&stdout)).map(quoted),
            }),
        }
    }
}

fn not_started(tool: &Supervised, source: io::Error) -> ChildError {
    ChildError::Spawn {
        program: tool.program.display().to_string(),
        source,
    }
}

struct Running {
    /// The supervisor, or the tool itself.
    child: std::process::Child,
    lifeline: Option<Lifeline>,
    /// What the supervisor has said of the tool's end.
    reported: Option<ProgramEnd>,
    /// Closed at its end.
    pipe: Option<ChildStdout>,
    stdout: Vec<u8>,
    /// Closed at its end.
    error_pipe: Option<ChildStderr>,
    stderr: Vec<u8>,
}

/// Why reading has ended.
enum Ended {
    Exited,
    Deadline,
}

impl Running {
    fn start(supervisor: Option<&PathBuf>, tool: &Supervised) -> Result<Self, ChildError> {
        let (mut child, lifeline) = match supervisor {
            Some(supervisor) => {
                let (child, lifeline) = tool.start(supervisor, NAME).map_err(ChildError::Supervisor)?;
                (child, Some(lifeline))
            }
            None => (alone(tool).map_err(|source| not_started(tool, source))?, None),
        };
        // Built before anything can fail, because from here on the child must be killed and reaped.
        let running = Self {
            pipe: child.stdout.take(),
            error_pipe: child.stderr.take(),
            child,
            lifeline,
            reported: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        if let Some(pipe) = &running.pipe {
            set_nonblocking(pipe).map_err(ChildError::Pipe)?;
        }
        if let Some(pipe) = &running.error_pipe {
            set_nonblocking(pipe).map_err(ChildError::Pipe)?;
        }
        Ok(running)
    }

    /// Reads until the tool has exited and the pipe is empty.
    fn read_until_exit(&mut self, timeout: Duration) -> Result<Ended, ChildError> {
        let until = Instant::now() + timeout;
        loop {
            // In this order, so that output from just before the exit is still read.
            let has_exited = self.has_exited();
            self.read().map_err(ChildError::Pipe)?;
            self.read_errors();
            if self.stdout.len() > MAX_BYTES {
                return Err(ChildError::TooLong);
            }
            if has_exited {
                return Ok(Ended::Exited);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Ended::Deadline);
            }
            self.wait_for_output(left.min(POLL_INTERVAL))
                .map_err(ChildError::Pipe)?;
        }
    }

    fn wait_for_output(&self, timeout: Duration) -> io::Result<()> {
        let output = self.pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        if output.is_none() {
            // The tool closed the pipe and is about to exit.
            std::thread::sleep(timeout.min(Duration::from_millis(2)));
            return Ok(());
        }
        let errors = self.error_pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN));
        let mut pipes: Vec<_> = output.into_iter().chain(errors).collect();
        poll::wait(&mut pipes, Some(Instant::now() + timeout))?;
        Ok(())
    }

    /// Reads what is available. A pipe at its end is closed, so that it does not wake the loop again.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.stdout.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.stdout.len() > MAX_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// Reads what is available of standard error, of which only start and end are kept. It ends with the first failure: the
    /// table does not depend on it.
    fn read_errors(&mut self) {
        let mut chunk = [0; 4 << 10];
        // Bounded, so that endless output does not keep the loop from its deadline.
        for _ in 0..64 {
            let Some(pipe) = &mut self.error_pipe else { return };
            match pipe.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => self.error_pipe = None,
                Ok(count) => {
                    self.stderr.extend_from_slice(&chunk[..count]);
                    if let Some(surplus) = self.stderr.len().checked_sub(MAX_ERRORS) {
                        self.stderr.drain(MAX_ERRORS / 2..MAX_ERRORS / 2 + surplus);
                    }
                }
            }
        }
    }

    /// Whether the tool has exited. Does not reap it: until then its id, which names the process group, is not reused.
    fn has_exited(&mut self) -> bool {
        // In this order: the report comes before the supervisor's end.
        let has_ended = has_ended(&self.child);
        if let (None, Some(lifeline)) = (&self.reported, &mut self.lifeline) {
            self.reported = lifeline.end();
        }
        has_ended || self.reported.is_some()
    }
}

/// Starts the tool without a supervisor.
fn alone(tool: &Supervised) -> io::Result<std::process::Child> {
    let mut command = Command::new(&tool.program);
    command
        .args(&tool.arguments)
        .envs(tool.environment.iter().map(|(name, value)| (name, value)));
    environment::clear(&mut command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    orphans::spawn(&mut command)
}

#[cfg(test)]
mod tests;
