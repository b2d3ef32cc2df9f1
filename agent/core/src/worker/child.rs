//! The agent's side of the pipe: one child, its deadline and its replacement.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::backoff::Backoff;
use super::config;
use super::environment;
use super::handover::HandoverMemory;
use super::orphans;
use super::own;
use super::process::{ended_within, kill_group, last_line, set_nonblocking, wait_for_end};
use super::protocol::{MAX_RENEWAL_BYTES, ProtocolError, RenewalReason, Reply, Request, body, frame, reply};
use crate::host::poll;

/// Time limit for a killed child to end; afterwards it is left behind.
const KILL_PATIENCE: Duration = Duration::from_millis(200);
/// Bytes of a child's standard error kept for the log.
const STDERR_KEPT: usize = 4096;
/// Limit of children that could not be killed; at the limit, no other is started until one has ended.
const MOST_LEFT_BEHIND: usize = 8;

/// Reason why a request got no reply.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It could not be started.
    #[error("the agent's own program could not be started as a worker; {}", own::remedy(.0))]
    Spawn(#[source] io::Error),
    /// It failed shortly before.
    #[error("the worker failed; it is started again in {:.0} s", .0.as_secs_f64().ceil())]
    BackingOff(Duration),
    /// Too many processes that could not be killed: each hangs in the kernel.
    #[error("{0} workers hang in the kernel and cannot be killed; none is started until one is gone: look at `dmesg`")]
    Stuck(usize),
    /// No reply in time.
    #[error("the worker gave no answer within {:.1} s and was killed", .0.as_secs_f64())]
    Deadline(Duration),
    /// It ended.
    #[error("the worker ended with {status}{}", quotation(.stderr))]
    Exited {
        /// Its exit status.
        status: ExitStatus,
        /// The last output on standard error.
        stderr: String,
    },
    /// Its reply is malformed.
    #[error("the worker sent {0} and was killed")]
    Protocol(#[from] ProtocolError),
    /// The pipe failed.
    #[error("the pipe to the worker failed")]
    Pipe(#[source] io::Error),
}

fn quotation(stderr: &str) -> String {
    last_line(stderr)
        .map(|line| format!("; it said: {}", line.trim()))
        .unwrap_or_default()
}

impl WorkerError {
    /// Every reason for which a process is replaced.
    pub(super) const REPLACES: [&'static str; 5] = ["spawn", "deadline", "exited", "protocol", "pipe"];

    /// Value of the attribute `agent.reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Spawn(_) => "spawn",
            Self::BackingOff(_) => "backoff",
            Self::Stuck(_) => "stuck",
            Self::Deadline(_) => "deadline",
            Self::Exited { .. } => "exited",
            Self::Protocol(_) => "protocol",
            Self::Pipe(_) => "pipe",
        }
    }
}

/// One worker, and the processes that replace it.
#[derive(Debug)]
pub struct Worker {
    command: Command,
    running: Option<Running>,
    left_behind: Vec<(Child, Instant)>,
    backoff: Backoff,
    next_id: u64,
    /// Why the last process was replaced at its own request, until it is taken.
    renewed: Option<RenewalReason>,
    /// Shared by its processes, one after the other.
    memory: Option<HandoverMemory>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    /// The reply; the buffer is reused.
    received: Vec<u8>,
    stderr: Vec<u8>,
    started: Instant,
}

impl Worker {
    /// Creates a worker without a process; the first request starts one with this program and these arguments, and with the
    /// variables that `command` sets, but none of this process's own.
    pub fn new(mut command: Command) -> Self {
        environment::clear(&mut command);
        Self {
            command,
            running: None,
            left_behind: Vec::new(),
            backoff: Backoff::default(),
            next_id: 0,
            renewed: None,
            memory: None,
        }
    }

    /// Requests one run and passes the reply, in its buffer, to `read`. Returns within `deadline` and the short time
    /// that killing a child takes.
    pub fn request<T>(&mut self, deadline: Duration, read: impl FnOnce(Reply<'_>) -> T) -> Result<T, WorkerError> {
        self.left_behind
            .retain_mut(|(child, _)| matches!(child.try_wait(), Ok(None)));
        if let Some(left) = self.backoff.remaining(Instant::now()) {
            return Err(WorkerError::BackingOff(left));
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None if self.left_behind.len() >= MOST_LEFT_BEHIND => {
                return Err(WorkerError::Stuck(self.left_behind.len()));
            }
            None => self.start().map_err(|error| self.fail(WorkerError::Spawn(error)))?,
        };
        self.next_id += 1;
        let id = self.next_id;
        let answer = running.exchange(id, deadline).and_then(|body| {
            let mut reply = reply(&running.received[body], id)?;
            let renewal = reply.renewal.take().map(|next| (next, reply.renewal_reason));
            let successor = reply.successor.take();
            Ok((read(reply), renewal, successor))
        });
        match answer {
            Ok((answer, renewal, successor)) => {
                self.backoff.succeeded();
                let (renewal, reason) = renewal.unzip();
                if self.configure_next(renewal) {
                    self.renewed = Some(reason.flatten().unwrap_or(RenewalReason::Other));
                    self.discard(running, WorkerError::BackingOff(Duration::ZERO));
                } else {
                    self.configure_next(successor);
                    self.running = Some(running);
                }
                Ok(answer)
            }
            Err(error) => {
                let error = self.discard(running, error);
                Err(self.fail(error))
            }
        }
    }

    fn start(&mut self) -> io::Result<Running> {
        if self.memory.is_none() {
            self.memory = HandoverMemory::new()
                .inspect_err(
                    |error| tracing::debug!(%error, "a crash of this worker will not be known to the next one"),
                )
                .ok();
        }
        Running::start(&mut self.command, self.memory.as_ref())
    }

    /// Why the process was replaced at its own request since the last call, if it was.
    pub fn take_renewed(&mut self) -> Option<RenewalReason> {
        self.renewed.take()
    }

    /// Running time of the current child.
    pub fn age(&self) -> Option<Duration> {
        self.running.as_ref().map(|running| running.started.elapsed())
    }

    /// Time since the oldest child that still exists was killed.
    pub fn stuck(&self) -> Option<Duration> {
        self.left_behind.iter().map(|(_, killed)| killed.elapsed()).max()
    }

    /// Sets the configuration of the next process; false if there is none or it does not fit into a variable.
    fn configure_next(&mut self, configuration: Option<String>) -> bool {
        let fits = |text: &String| text.len() <= MAX_RENEWAL_BYTES && !text.contains('\0');
        let Some(configuration) = configuration.filter(fits) else {
            return false;
        };
        self.command.env(config::VARIABLE, configuration);
        true
    }

    fn fail(&mut self, error: WorkerError) -> WorkerError {
        self.backoff.failed(Instant::now());
        error
    }

    /// Ends the child and its descendants. An unexpected end of the pipe becomes the exit status that explains it.
    fn discard(&mut self, mut running: Running, error: WorkerError) -> WorkerError {
        running.drain_errors();
        let Running {
            mut child,
            input,
            stderr,
            ..
        } = running;
        let has_crashed = matches!(&error, WorkerError::Pipe(_)) && wait_for_end(&child, KILL_PATIENCE);
        // Without its input a worker ends with all that it has started, daemons included, unless its process is broken.
        drop(input);
        wait_for_end(&child, KILL_PATIENCE);
        kill_group(&child);
        let status = ended_within(&mut child, KILL_PATIENCE);
        if status.is_none() {
            self.left_behind.push((child, Instant::now()));
        }
        // What it has started, if it could not end that itself.
        orphans::end();
        let ended = status.filter(|_| has_crashed);
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        match ended {
            Some(status) => WorkerError::Exited { status, stderr },
            None => error,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.discard(running, WorkerError::BackingOff(Duration::ZERO));
        }
    }
}

impl Running {
    fn start(command: &mut Command, memory: Option<&HandoverMemory>) -> io::Result<Self> {
        command
            .envs(memory.map(HandoverMemory::variable))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = orphans::spawn(command)?;
        let missing = || io::Error::other("a pipe that was asked for is missing");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        set_nonblocking(&input)?;
        set_nonblocking(&output)?;
        set_nonblocking(&errors)?;
        Ok(Self {
            child,
            input,
            output,
            errors,
            received: Vec::new(),
            stderr: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Position of the reply's body in the received bytes.
    fn exchange(&mut self, id: u64, deadline: Duration) -> Result<Range<usize>, WorkerError> {
        let until = Instant::now() + deadline;
        let request = frame(&Request { id }).map_err(ProtocolError::from)?;
        // A request is a few bytes and the pipe is empty: a write that would block means that earlier ones are unread.
        self.input.write_all(&request).map_err(WorkerError::Pipe)?;
        self.received.clear();
        loop {
            if let Some(length) = body(&self.received)? {
                if self.received.len() > 4 + length {
                    return Err(ProtocolError::TooLong(self.received.len()).into());
                }
                return Ok(4..4 + length);
            }
            self.receive(until, deadline)?;
        }
    }

    fn receive(&mut self, until: Instant, deadline: Duration) -> Result<(), WorkerError> {
        if Instant::now() >= until {
            return Err(WorkerError::Deadline(deadline));
        }
        let mut files = [
            PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.errors.as_fd(), PollFlags::IN),
        ];
        poll::wait(&mut files, Some(until)).map_err(WorkerError::Pipe)?;
        let (has_output, has_errors) = (!files[0].revents().is_empty(), !files[1].revents().is_empty());
        if has_errors {
            self.drain_errors();
        }
        if has_output {
            let mut chunk = [0; 16 << 10];
            match self.output.read(&mut chunk) {
                Ok(0) => return Err(WorkerError::Pipe(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(WorkerError::Pipe(error)),
            }
        }
        Ok(())
    }

    /// Keeps the end of standard error; reading it also keeps the child from blocking on it.
    fn drain_errors(&mut self) {
        let mut chunk = [0; 4096];
        // Bounded: a child that writes faster than this reads must not block the agent here.
        for _ in 0..16 {
            match self.errors.read(&mut chunk) {
                Ok(count) if count > 0 => self.stderr.extend_from_slice(&chunk[..count]),
                _ => break,
            }
        }
        let surplus = self.stderr.len().saturating_sub(STDERR_KEPT);
        self.stderr.drain(..surplus);
    }
}
