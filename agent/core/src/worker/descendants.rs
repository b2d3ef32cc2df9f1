//! Descendants of this process, those included that have left its process group or have been made daemons.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, set_parent_process_death_signal, waitid,
};

/// Between two looks at what is left, at first; the longer it stays, the longer, up to the second.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Time after which looks become rarer.
const HANGING: Duration = Duration::from_millis(500);

/// Makes this process the parent of what its descendants leave behind: what forks twice and calls `setsid` stays below it.
pub fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Lets the end of the parent resume this process where it was stopped: only then can it see that end, and kill what it has
/// started. The kernel sends the signal before it looks for stopped groups without a parent, which it would send SIGHUP
/// (`forget_original_parent` in kernel/exit.c).
pub fn resume_at_end_of_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::CONT))?)
}

/// Kills all descendants, at most for `patience`. Returns whether none is left.
///
/// Only children are killed, since the id of a child cannot be another process's before it is reaped here. What they leave
/// behind is a child next, for a process that has called [`adopt`].
pub fn kill_all(patience: Duration) -> bool {
    let begun = Instant::now();
    let until = begun + patience;
    let mut pause = PAUSE;
    loop {
        reap();
        let children = children();
        if children.is_empty() {
            return true;
        }
        for child in children {
            // Fails for one that has ended meanwhile, or is another user's.
            kill_process(child, Signal::KILL).ok();
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
        // What does not end within this hangs in the kernel.
        if begun.elapsed() > HANGING {
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Kills the children of a child of this process, at most for `patience`, and what they leave behind to it as [`adopt`] has it.
/// Returns whether none is left.
pub fn kill_below(parent: Pid, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        // Those that have ended are not reaped where the parent is stopped.
        let mut living = children_of(parent);
        living.retain(|child| {
            state_and_parent(*child).is_some_and(|(state, of)| of == parent && !matches!(state, 'Z' | 'X'))
        });
        if living.is_empty() {
            return true;
        }
        for child in living {
            kill_child_of(parent, child);
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

fn kill_child_of(parent: Pid, child: Pid) {
    match pidfd_open(child, PidfdFlags::empty()) {
        // The parent may have reaped it, and its id may be another process's: but not while it is held and is of that parent.
        Ok(held) if state_and_parent(child).is_some_and(|(_, of)| of == parent) => {
            pidfd_send_signal(held, Signal::KILL).ok();
        }
        Ok(_) => {}
        // Before Linux 5.3.
        Err(_) => drop(kill_process(child, Signal::KILL)),
    }
}

/// Reaps what ended before the last call and was not reaped since: what the vendor's code has made a daemon, and does not wait
/// for. `ended` is what has ended by then.
pub fn reap_adopted(ended: &mut Vec<Pid>) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let has_ended = |child: &Pid| {
        matches!(
            waitid(WaitId::Pid(*child), options | WaitIdOptions::NOWAIT),
            Ok(Some(_))
        )
    };
    let (old, new): (Vec<Pid>, Vec<Pid>) = children()
        .into_iter()
        .filter(has_ended)
        .partition(|child| ended.contains(child));
    for child in old {
        waitid(WaitId::Pid(child), options).ok();
    }
    *ended = new;
}

/// Takes note of all children that have ended.
fn reap() {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    while let Ok(Some(_)) = waitid(WaitId::All, options) {}
}

/// The children of all threads, those that have ended and are not reaped included.
pub(super) fn children() -> Vec<Pid> {
    children_of(getpid())
}

/// The same of another process.
fn children_of(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_pid());
    let tasks = std::fs::read_dir(tasks).into_iter().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    if lists.is_empty() {
        // A kernel without CONFIG_PROC_CHILDREN.
        return by_parent(parent);
    }
    let pids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The same from what each process says of its parent.
fn by_parent(parent: Pid) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = processes.filter_map(|process| {
        let pid = Pid::from_raw(process.ok()?.file_name().to_str()?.parse().ok()?)?;
        let (_, of) = state_and_parent(pid)?;
        (of == parent).then_some(pid)
    });
    pids.collect()
}

fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // `<pid> (<name>) <state> <parent>`; the name may have any character.
    let mut rest = stat.rsplit(") ").next()?.split(' ');
    let state = rest.next()?.chars().next()?;
    Some((state, Pid::from_raw(rest.next()?.parse().ok()?)?))
}
