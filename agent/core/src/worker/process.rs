//! Children in process groups of their own, that can hang and leave descendants behind.

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Id of a child, which is that of its process group.
pub fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// Kills a child and its descendants. The child must not have been reaped.
pub fn kill_group(child: &Child) {
    if let Some(group) = pid(child) {
        // Fails only if the whole group has ended already.
        kill_process_group(group, Signal::KILL).ok();
    }
}

/// Waits for the end of a child and reaps it; `None` if it has not ended by then.
pub fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if Instant::now() >= until => return None,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Waits for the end of a child without reaping it: until then its id, which names the process group, is not another's.
/// Returns whether it has ended.
pub fn wait_for_end(child: &Child, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while !has_ended(child) {
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Whether a child has ended, without reaping it.
pub fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let state = pid(child).and_then(|pid| waitid(WaitId::Pid(pid), options).transpose());
    matches!(state, Some(Ok(_)))
}

/// The last line of what a child printed that is not blank.
pub fn last_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| !line.trim().is_empty())
}

/// Makes reads and writes of a pipe return at once.
pub fn set_nonblocking(pipe: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?)
}
