//! What is left where a supervisor or a worker was killed, as the kernel does when memory runs out: it becomes a child of the
//! agent and is ended.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::descendants;
use super::process::pid;

/// Time for orphans to end; what hangs in the kernel is tried again after the next end of a child.
const PATIENCE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(2);

/// Whether this process adopts orphans, and the children that it has started itself: each id with the time of its start, since
/// an id may pass to an orphan.
#[derive(Debug, Default)]
struct Family {
    adopts: bool,
    own: HashMap<Pid, Option<u64>>,
}

static FAMILY: LazyLock<Mutex<Family>> = LazyLock::new(Mutex::default);

/// Makes this process the parent of what its descendants leave behind, until [`end`] ends that. For the agent, which has no
/// other children than those of [`spawn`].
pub fn adopt() -> io::Result<()> {
    descendants::adopt()?;
    family(|family| family.adopts = true);
    Ok(())
}

/// Starts a child of this process's own.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    family(|family| {
        let child = command.spawn()?;
        if let Some(pid) = pid(&child).filter(|_| family.adopts) {
            family.own.insert(pid, started(pid));
        }
        Ok(child)
    })
}

/// Ends the children that this process has not started, if it adopts them.
pub fn end() {
    let until = Instant::now() + PATIENCE;
    while end_some() && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
}

/// Kills the orphans that there are; those that they leave behind are next. Returns whether there were any.
fn end_some() -> bool {
    let orphans = family(|family| {
        if !family.adopts {
            return Vec::new();
        }
        let children = descendants::children();
        family
            .own
            .retain(|own, start| children.contains(own) && started(*own) == *start);
        children
            .into_iter()
            .filter(|child| !family.own.contains_key(child))
            .collect::<Vec<_>>()
    });
    for orphan in &orphans {
        // Fails for one that is another user's.
        kill_process(*orphan, Signal::KILL).ok();
        waitid(WaitId::Pid(*orphan), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok();
    }
    !orphans.is_empty()
}

/// When the process was started, in ticks since boot (field 22 of `/proc/<pid>/stat`).
fn started(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // Its name, in parentheses, may have any character; the state is field 3.
    stat.rsplit(") ").next()?.split(' ').nth(19)?.parse().ok()
}

fn family<T>(change: impl FnOnce(&mut Family) -> T) -> T {
    change(&mut FAMILY.lock().unwrap_or_else(PoisonError::into_inner))
}
