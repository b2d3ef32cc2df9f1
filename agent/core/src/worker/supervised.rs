//! Runs a vendor's program so that nothing of it outlives its run, nor this agent.
//!
//! Between the agent and the program is a process of the agent's own, the supervisor. What the program leaves behind, however
//! it has been made a daemon, becomes the supervisor's child and is killed. The supervisor ends when the other end of its
//! standard input is closed, which the kernel does when the agent is killed. A supervisor that is stopped sees no such end: the
//! agent's death resumes it, and the agent ends one that does not end in time.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};

use super::process::{ended_within, has_ended, pid};
use super::{descendants, environment, orphans, own};
use crate::host::poll;

/// Name of the supervisor's variable with the program, in JSON.
const VARIABLE: &str = "ACCELSCOPE_SUPERVISED";
/// Time for what the program has left behind to end, before its result is reported nevertheless: some hang in the kernel.
const PATIENCE: Duration = Duration::from_millis(200);
/// Between two looks at the program where the kernel does not tell of its end (before Linux 5.3).
const INTERVAL: Duration = Duration::from_millis(20);

/// A program to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Supervised {
    /// Its path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, beside what all children get.
    pub environment: Vec<(String, PathBuf)>,
}

/// The agent's end of a supervisor's standard input: what is started ends when it is dropped.
#[derive(Debug)]
pub struct Lifeline {
    stream: UnixStream,
    received: Vec<u8>,
}

/// How a program has ended.
#[derive(Debug)]
pub enum ProgramEnd {
    /// By itself, or by a signal.
    Exited(ExitStatus),
    /// It could not be started.
    NotStarted(io::Error),
}

/// Kinds of reports; a number of 32 bits follows: the raw status, or the system's error.
const EXITED: u8 = 0;
const NOT_STARTED: u8 = 1;
const REPORT: usize = 5;

impl Supervised {
    /// Starts the program below a supervisor, which is `agent worker <worker>`. Standard output and standard error are pipes
    /// that the child has; the child ends when all of the program has.
    pub fn start(&self, agent: &Path, worker: &str) -> io::Result<(Child, Lifeline)> {
        let (stream, input) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let mut command = own::command(agent);
        command
            .args(["worker", worker])
            .env(VARIABLE, serde_json::to_string(self)?);
        environment::clear(&mut command);
        command
            .stdin(OwnedFd::from(input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = orphans::spawn(&mut command)?;
        let received = Vec::new();
        Ok((child, Lifeline { stream, received }))
    }

    /// The program that this process shall supervise, if it is a supervisor.
    pub fn requested() -> Option<io::Result<Self>> {
        let text = std::env::var_os(VARIABLE)?;
        Some(serde_json::from_str(&text.to_string_lossy()).map_err(io::Error::from))
    }

    /// Supervises the program until all of it has ended. The supervisor's own part.
    pub fn supervise(&self) -> io::Result<()> {
        descendants::adopt()?;
        descendants::resume_at_end_of_parent()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // As the agent has found it to be safe.
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        environment::clear(&mut command);
        let input = io::stdin();
        match command.stdin(Stdio::null()).process_group(0).spawn() {
            Ok(mut child) => {
                if wait(&child, input.as_fd())? {
                    let status = child.wait()?;
                    // First, so that nothing is left when the agent goes on.
                    descendants::kill_all(PATIENCE);
                    report(input.as_fd(), EXITED, status.into_raw());
                }
            }
            Err(error) => report(input.as_fd(), NOT_STARTED, error.raw_os_error().unwrap_or_default()),
        }
        while !descendants::kill_all(Duration::from_hours(1)) {}
        Ok(())
    }
}

/// Ends a supervisor that was stopped, by a signal, a debugger or the freezer, and does not see that its lifeline was dropped,
/// with all that it has started. Returns its status; `None` where something of that hangs in the kernel: then the supervisor
/// stays until that has ended.
pub fn end_stopped(supervisor: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let pid = pid(supervisor)?;
    // It may do the rest itself.
    kill_process(pid, Signal::CONT).ok();
    if !descendants::kill_below(pid, patience) {
        return None;
    }
    kill_process(pid, Signal::KILL).ok();
    let status = ended_within(supervisor, patience);
    // What it has started meanwhile.
    orphans::end();
    status
}

impl Lifeline {
    /// How the program has ended, once the supervisor has reported it.
    pub fn end(&mut self) -> Option<ProgramEnd> {
        if self.received.len() < REPORT {
            let mut bytes = [0; REPORT];
            let wanted = REPORT - self.received.len();
            let count = self.stream.read(&mut bytes[..wanted]).unwrap_or_default();
            self.received.extend_from_slice(&bytes[..count]);
        }
        let (kind, number) = self.received.split_first()?;
        let number = i32::from_ne_bytes(number.try_into().ok()?);
        Some(match *kind {
            NOT_STARTED => ProgramEnd::NotStarted(io::Error::from_raw_os_error(number)),
            _ => ProgramEnd::Exited(ExitStatus::from_raw(number)),
        })
    }
}

/// Waits until the child has ended, or the other end of `input` is closed. Returns whether the child has ended.
fn wait(child: &Child, input: impl AsFd) -> io::Result<bool> {
    let pid = pid(child).ok_or(io::ErrorKind::NotFound)?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).ok();
    loop {
        let mut files = vec![PollFd::from_borrowed_fd(input.as_fd(), PollFlags::empty())];
        files.extend(ended.as_ref().map(|ended| PollFd::new(ended, PollFlags::IN)));
        let until = ended.is_none().then(|| Instant::now() + INTERVAL);
        poll::wait(&mut files, until)?;
        if !files[0].revents().is_empty() {
            return Ok(false);
        }
        if has_ended(child) {
            return Ok(true);
        }
    }
}

fn report(input: impl AsFd, kind: u8, number: i32) {
    let mut message = vec![kind];
    message.extend(number.to_ne_bytes());
    // Without a reader the agent has ended.
    if let Ok(stream) = input.as_fd().try_clone_to_owned() {
        UnixStream::from(stream).write_all(&message).ok();
    }
}
