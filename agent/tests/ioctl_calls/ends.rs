//! How calls end: not at all, late, or by a signal.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::seen::{Agent, command};
use crate::tests::{CALLS, DURATION, caller, executable, park};

const LOST: &str = "agent.ioctl.lost";

/// More calls in flight than the programs have room for.
pub(crate) fn crowded() {
    const THREADS: u32 = 9_000;
    let Some(agent) = Agent::start(&[]) else { return };
    let (mut child, mut said) = park(THREADS, 0);
    let executable = executable();
    let own = ("process.executable.name", executable.as_str());
    let command = ("accel.ioctl.command", "0x00005421");
    let calls = |agent: &Agent| agent.sum(CALLS, &[own, command]);
    // Calls of other programs may be among them.
    let lost = |agent: &Agent| agent.sum(LOST, &[("agent.reason", "slot_full")]);
    let in_flight = |agent: &Agent| agent.sum("accel.ioctl.inflight", &[own]);
    let all = f64::from(THREADS);
    agent.wait("all calls to be in flight or lost", |agent| {
        (in_flight(agent) + lost(agent) >= all).then_some(())
    });
    agent.readings(15);
    let waiting = in_flight(&agent);
    assert!(
        waiting <= 8_192.0 && lost(&agent) >= 808.0,
        "{waiting} and {}",
        lost(&agent)
    );
    assert_eq!(
        calls(&agent),
        0.0,
        "none of those that wait has succeeded: {:?}",
        agent.matching(CALLS, &[own])
    );
    child.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(child.0.wait().unwrap().success());
    agent.wait("all others to have ended", |agent| {
        (calls(agent) >= waiting).then_some(())
    });
    agent.readings(12);
    assert_eq!(
        calls(&agent),
        waiting,
        "those that were lost are no successes: {:?}",
        agent.matching(CALLS, &[own])
    );
}

/// An agent that watches the terminal, and what a process in its background reports: the calls that it made, and how
/// many of them ended with `EINTR`.
fn in_background(handler: &str) -> Option<(Agent, f64, f64)> {
    let mut agent = command(env!("CARGO_BIN_EXE_agent"), &[]);
    agent.args(["--set", "ioctl.extra_devices=/dev/full=other,/dev/tty=other"]);
    let agent = Agent::watching(agent)?;
    agent.readings(1);
    let output = caller(&["session", handler]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (made, interrupted) = text.trim().split_once(' ').unwrap();
    Some((agent, made.parse().unwrap(), interrupted.parse().unwrap()))
}

fn counted(agent: &Agent, made: f64, interrupted: f64) {
    let executable = executable();
    let own = ("process.executable.name", executable.as_str());
    let tty = ("accel.device.name", "tty");
    agent.wait("all calls", |agent| {
        (agent.sum(CALLS, &[own, tty]) >= made).then_some(())
    });
    agent.readings(3);
    let results: Vec<_> = agent.matching(CALLS, &[own, tty]);
    assert_eq!(
        agent.sum(CALLS, &[own, tty, ("error.type", "EINTR")]),
        interrupted,
        "{results:?}"
    );
    assert_eq!(
        agent.sum(CALLS, &[own, tty, ("error.type", "")]),
        made - interrupted,
        "{results:?}"
    );
    assert_eq!(agent.sum(CALLS, &[own, tty]), made, "{results:?}");
    assert_eq!(agent.sum("accel.ioctl.inflight", &[own, tty]), 0.0);
    let durations = agent.matching(DURATION, &[own, tty]);
    let durations: f64 = durations.iter().filter_map(|line| line["count"].as_f64()).sum();
    assert_eq!(durations, made);
    assert_eq!(agent.sum(LOST, &[]), 0.0, "{:?}", agent.all(LOST));
}

pub(crate) fn restarted() {
    let Some((agent, made, interrupted)) = in_background("restart") else {
        return;
    };
    assert_eq!((made, interrupted), (11.0, 0.0), "its program saw no interruption");
    counted(&agent, made, interrupted);
}

pub(crate) fn interrupted() {
    let Some((agent, made, interrupted)) = in_background("end") else {
        return;
    };
    assert_eq!((made, interrupted), (21.0, 10.0));
    counted(&agent, made, interrupted);
}

pub(crate) fn stopped() {
    let Some((agent, made, interrupted)) = in_background("stop") else {
        return;
    };
    assert_eq!((made, interrupted), (11.0, 0.0));
    counted(&agent, made, interrupted);
}

/// `session HANDLER`: leads a session with a terminal, and runs `background HANDLER` in another process group.
/// `background HANDLER`: changes the terminal's attributes ten times. The kernel sends `SIGTTOU` and interrupts each of
/// these calls. The signal's handler lets them be restarted (`restart`), or end so that the program repeats them (`end`);
/// without one (`stop`) the process stops until the other lets it go on.
pub(crate) fn play(role: &str, arguments: &[String]) {
    let handler = arguments[0].as_str();
    if role == "session" {
        session(handler);
    } else {
        background(handler);
    }
}

#[expect(clippy::zombie_processes, reason = "waitpid(2) has waited for it")]
fn session(handler: &str) {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, setsid, waitpid};
    setsid().unwrap();
    let terminal = terminal();
    let mut child = caller(&["background", handler]).process_group(0).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let mut stops = 0;
    while let Some((_, status)) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap() {
        if !status.stopped() {
            break;
        }
        stops += 1;
        // Stopped again when it has gone on for the first time, as it is still in the background.
        if stops == 2 {
            rustix::termios::tcsetpgrp(&terminal, pid).unwrap();
        }
        kill_process(pid, Signal::CONT).unwrap();
    }
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    print!("{text}");
}

/// A new terminal: the first one that a session's leader opens becomes its own.
#[expect(unsafe_code, reason = "terminals have no safe interface here")]
fn terminal() -> File {
    use std::os::fd::AsRawFd;
    let leader = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    let mut number = 0_u32;
    let unlocked = 0_i32;
    // SAFETY: both requests take the address of an int.
    unsafe {
        assert_eq!(
            libc::ioctl(leader.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked),
            0
        );
        assert_eq!(libc::ioctl(leader.as_raw_fd(), libc::TIOCGPTN, &raw mut number), 0);
    }
    let name = format!("/dev/pts/{number}");
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    // It hangs up when this one is closed.
    std::mem::forget(leader);
    terminal
}

static DELIVERED: AtomicU32 = AtomicU32::new(0);

#[expect(unsafe_code, reason = "signal handlers have no safe interface")]
fn handle(handler: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: an action whose other fields are zero; the handlers only do what signal-safety(7) allows.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(libc::SIGTTOU, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

/// Interrupts the call twice more, then lets it through.
extern "C" fn third(_: libc::c_int) {
    if DELIVERED.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
        handle(libc::SIG_IGN, 0);
    }
}

extern "C" fn first(_: libc::c_int) {
    handle(libc::SIG_IGN, 0);
}

fn background(handler: &str) {
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let terminal = File::options().read(true).write(true).open("/dev/tty").unwrap();
    let attributes = tcgetattr(&terminal).unwrap();
    let (mut made, mut interrupted) = (1, 0);
    for _ in 0..10 {
        match handler {
            "restart" => handle(third as extern "C" fn(libc::c_int) as usize, libc::SA_RESTART),
            "end" => handle(first as extern "C" fn(libc::c_int) as usize, 0),
            _ => handle(libc::SIG_DFL, 0),
        }
        loop {
            made += 1;
            match tcsetattr(&terminal, OptionalActions::Now, &attributes) {
                Ok(()) => break,
                Err(error) => assert_eq!(error, rustix::io::Errno::INTR),
            }
            interrupted += 1;
        }
    }
    let expected = if handler == "restart" { 30 } else { 0 };
    assert_eq!(DELIVERED.load(Ordering::Relaxed), expected);
    println!("{made} {interrupted}");
}
