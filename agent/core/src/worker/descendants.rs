//! Descendants of this process, those included that have left its process group or have been made daemons.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid};

/// Between two looks at what is left, at first; the longer it stays, the longer, up to the second.
const PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Time after which looks become rarer.
const HANGING: Duration = Duration::from_millis(500);

/// Makes this process the parent of what its descendants leave behind: what forks twice and calls `setsid` stays below it.
pub fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
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
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    if lists.is_empty() {
        // A kernel without CONFIG_PROC_CHILDREN.
        return by_parent();
    }
    let pids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The same from what each process says of its parent.
fn by_parent() -> Vec<Pid> {
    let own = getpid().as_raw_pid().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    let is_own = |stat: &str| {
        // `<pid> (<name>) <state> <parent>`; the name may have any character.
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        parent == Some(own.as_str())
    };
    let pids = processes.filter_map(|process| {
        let process = process.ok()?;
        let pid = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        is_own(&stat).then(|| Pid::from_raw(pid))?
    });
    pids.collect()
}
