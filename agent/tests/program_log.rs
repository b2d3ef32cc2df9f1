//! The program beside a reader of its log that lives and does not read.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod receiver_support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use free_port::free_address;
use program_support::{Running, get, wait_for};
use receiver_support::Receiver;
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::Action;

/// A reader's end and a writer's.
type Ends = (OwnedFd, OwnedFd);

fn pipe() -> Ends {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap()
}

/// One that Linux lets nobody ask not to wait, unlike a pipe without a name (`FMODE_NOWAIT`, fs/pipe.c).
fn named_pipe() -> Ends {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RWXU).unwrap();
    // Both, so that it waits for no other end.
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    (reader.into(), writer.into())
}

/// What systemd connects a service to its journal with.
fn socket() -> Ends {
    let (reader, writer) = UnixStream::pair().unwrap();
    (reader.into(), writer.into())
}

/// What a container with `tty: true` has, stopped as by Ctrl-S.
fn terminal() -> Ends {
    let reader = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::unlockpt(&reader).unwrap();
    let path = rustix::pty::ptsname(&reader, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let writer = rustix::fs::open(path, flags, Mode::empty()).unwrap();
    rustix::termios::tcflow(&writer, Action::OOff).unwrap();
    (reader, writer)
}

/// Writes until nothing more fits.
fn fill(writer: &OwnedFd) {
    let flags = fcntl_getfl(writer).unwrap();
    fcntl_setfl(writer, flags | OFlags::NONBLOCK).unwrap();
    let mut file = File::from(writer.try_clone().unwrap());
    for size in [4096, 1] {
        let mut line = vec![b'.'; size];
        line[size - 1] = b'\n';
        while file.write(&line).is_ok() {}
    }
    // It is the same open file as the agent's.
    fcntl_setfl(writer, flags).unwrap();
}

/// An agent that logs to a full stream.
struct Unread {
    running: Running,
    reader: OwnedFd,
    receiver: Receiver,
    address: SocketAddr,
}

impl Unread {
    fn start((reader, writer): Ends) -> Self {
        fill(&writer);
        let (receiver, address) = (Receiver::start(), free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.env_clear().stdin(Stdio::null()).stderr(writer);
        let mut settings = receiver.settings();
        settings.push(format!("http.listen={address}"));
        for setting in settings {
            command.args(["--set", &setting]);
        }
        Self {
            running: Running::start(command),
            reader,
            receiver,
            address,
        }
    }

    fn suppressed(&self) -> Option<u64> {
        let page = get(self.address, "/metrics")?.body;
        let mut lines = page.lines();
        let count = lines.find_map(|line| line.strip_prefix("agent_log_suppressed_total "))?;
        Some(count.parse().unwrap())
    }

    fn pushes(&self) -> usize {
        self.receiver.times("agent.log.suppressed").len()
    }

    /// More is pushed than before.
    #[track_caller]
    fn wait_for_pushes(&self) {
        let before = self.pushes();
        wait_for("two further pushes", || (self.pushes() >= before + 2).then_some(()));
    }

    /// It is not read: lines are counted, and all else goes on.
    #[track_caller]
    fn assert_it_goes_on(&self) {
        wait_for("readiness", || {
            get(self.address, "/readyz").filter(|answer| answer.status == 200)
        });
        let before = wait_for("lines that are left out", || {
            self.suppressed().filter(|count| *count > 0)
        });
        self.wait_for_pushes();
        self.running.signal(Signal::HUP);
        wait_for("the line on the reload", || {
            self.suppressed().filter(|count| *count > before)
        });
        self.wait_for_pushes();
    }

    /// It ends by itself: one that is stuck is ended without the last push.
    fn assert_it_ends(&mut self) {
        self.running.terminate();
        assert_eq!(self.running.exit_code(), Some(0));
        let points = self.receiver.points();
        assert!(points.iter().any(|point| point.is_end), "it did not end its series");
    }
}

#[test]
fn a_full_pipe_stops_neither_start_nor_push_nor_end() {
    for ends in [pipe(), named_pipe()] {
        let mut agent = Unread::start(ends);
        agent.assert_it_goes_on();
        agent.assert_it_ends();
    }
}

#[test]
fn a_full_socket_stops_neither_start_nor_push_nor_end() {
    let mut agent = Unread::start(socket());
    agent.assert_it_goes_on();
    agent.assert_it_ends();
}

#[test]
fn a_stopped_terminal_stops_neither_start_nor_push_nor_end() {
    let mut agent = Unread::start(terminal());
    agent.assert_it_goes_on();
    agent.assert_it_ends();
}

#[test]
fn a_log_that_is_read_again_is_written_again() {
    let mut agent = Unread::start(pipe());
    agent.assert_it_goes_on();
    let mut reader = File::from(agent.reader.try_clone().unwrap());
    let collector = std::thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        log
    });
    wait_for("room", || {
        let waiting = rustix::io::ioctl_fionread(&agent.reader).unwrap();
        (waiting == 0).then_some(())
    });
    agent.running.signal(Signal::HUP);
    agent.wait_for_pushes();
    agent.assert_it_ends();
    let log = collector.join().unwrap();
    let first = log.trim_start_matches(['.', '\n']).lines().next();
    assert!(first.is_some_and(|line| line.contains(" reloaded")), "{first:?}");
}

#[test]
fn a_wrong_configuration_is_no_reason_to_wait() {
    let (_reader, writer) = pipe();
    fill(&writer);
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .stderr(writer)
        .args(["--set", "http.listen=nowhere"]);
    assert_eq!(Running::start(command).exit_code(), Some(64));
}
