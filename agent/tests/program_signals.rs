//! Signals that come while the agent starts.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;
mod receiver_support;

use std::io::Write;
use std::process::{Command, Stdio};

use program_support::{Logged, Running, wait_for};
use receiver_support::Receiver;
use rustix::process::{Pid, Signal, kill_process};

/// An agent that reads its configuration from standard input.
fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().args(["--config", "-"]).stdin(Stdio::piped());
    command
}

/// Whether the process waits for its standard input.
fn reads_input(pid: u32) -> bool {
    // Number of the system call and its arguments (proc_pid_syscall(5)): read(2) of descriptor 0 on x86-64 and on others.
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut words = call.split_whitespace();
    matches!(words.next(), Some("0" | "63")) && words.next() == Some("0x0")
}

#[test]
fn a_hangup_before_the_configuration_is_read_does_not_end_the_agent_and_is_not_lost() {
    let receiver = Receiver::start();
    let mut logged = Logged::start(agent());
    let mut pipe = logged.running.0.stdin.take().unwrap();
    let pid = logged.running.0.id();
    wait_for("it to read its configuration", || reads_input(pid).then_some(()));
    logged.running.signal(Signal::HUP);
    write!(
        pipe,
        "http.enabled = false\n[otlp]\nendpoint = \"http://{}\"\nprotocol = \"http/protobuf\"\ninterval = \"100ms\"\n",
        receiver.address
    )
    .unwrap();
    drop(pipe);
    wait_for("a push", || (!receiver.points().is_empty()).then_some(()));
    logged.wait_for("was read at the start and is empty since");
    logged.running.terminate();
    assert_eq!(logged.running.exit_code(), Some(0));
}

/// The kernel gives the first process of a container no signal that it does not handle.
#[test]
fn the_first_process_of_a_container_can_be_ended_while_it_starts() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]);
    let started = agent();
    command.arg(started.get_program()).args(started.get_args());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let can = Command::new("unshare").args(["--pid", "--fork", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        skip_test::skip(
            "namespaces",
            "needs root, unshare(1) and the right to make PID namespaces",
        );
        return;
    }
    let mut running = Running::start(command);
    let _pipe = running.0.stdin.take();
    let children = format!("/proc/{0}/task/{0}/children", running.0.id());
    let first = wait_for("it to read its configuration", || {
        let child: u32 = std::fs::read_to_string(&children).ok()?.trim().parse().ok()?;
        reads_input(child).then_some(child)
    });
    kill_process(Pid::from_raw(first.cast_signed()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(running.exit_code(), Some(0), "at once");
}
