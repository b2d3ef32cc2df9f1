//! Which control groups have processes, by what `/proc` shows: for groups that the file systems here do not show.
//!
//! In a private namespace a path in `/proc/<pid>/cgroup` starts at the reader's own group, a path from the kernel at the
//! hierarchy's root, and a file system shows what is below its mount. What these have in common is the end of the path.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::cgroup;
use crate::host::HostRoots;
use crate::host::process::Processes;

/// Least time between two walks over all processes.
const PERIOD: Duration = Duration::from_mins(1);
/// Time between two walks in times of what one takes, so that it costs less than a thousandth of a processor.
const REST: u32 = 1000;
/// Most processes that are looked at.
const MAX_PROCESSES: usize = 32_768;

/// Groups of all processes that are visible.
#[derive(Debug)]
pub(super) struct Members {
    processes: Processes,
    /// Their paths, without what leads from the reader's own group to one above it.
    ends: HashSet<Box<str>>,
    /// Whether processes of more than one group are visible: in a process namespace of its own the reader sees only those
    /// of its container, and knows nothing of the others.
    is_whole: bool,
    due: Option<Instant>,
}

impl Members {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            ends: HashSet::new(),
            is_whole: false,
            due: None,
        }
    }

    /// Whether the group with that path has a process; `None` where that cannot be known from here.
    pub(super) fn has_any(&mut self, path: &str, now: Instant) -> Option<bool> {
        if end(path).is_empty() {
            return None;
        }
        if self.due.is_none_or(|due| now >= due) {
            self.walk(now);
        }
        self.is_whole.then(|| ends_of(path).any(|end| self.ends.contains(end)))
    }

    fn walk(&mut self, now: Instant) {
        let begun = Instant::now();
        self.ends.clear();
        let mut groups: HashSet<String> = HashSet::new();
        for pid in self
            .processes
            .pids()
            .unwrap_or_default()
            .into_iter()
            .take(MAX_PROCESSES)
        {
            // One that has ended in between has no groups.
            let Ok(text) = self.processes.cgroup(pid) else { continue };
            for end in cgroup::paths(&text).map(end).filter(|end| !end.is_empty()) {
                if !self.ends.contains(end) {
                    self.ends.insert(end.into());
                }
            }
            if groups.len() < 2 {
                groups.insert(text);
            }
        }
        self.is_whole = groups.len() > 1;
        self.due = Some(now + PERIOD.max(begun.elapsed() * REST));
    }
}

/// A path from the first group that it names.
fn end(path: &str) -> &str {
    let mut rest = path.trim_matches('/');
    while let Some(inner) = rest
        .strip_prefix("..")
        .filter(|inner| inner.is_empty() || inner.starts_with('/'))
    {
        rest = inner.trim_start_matches('/');
    }
    rest
}

/// The ends of a path that name the same group seen from elsewhere. Those behind its container are left out: runtimes give the
/// groups in all of their containers the same names.
fn ends_of(path: &str) -> impl Iterator<Item = &str> {
    let path = end(path);
    let last = cgroup::start_of_container(path).or_else(|| path.rfind('/').map(|at| at + 1));
    let last = last.unwrap_or(0);
    let starts = path.match_indices('/').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(starts)
        .take_while(move |start| *start <= last)
        .map(|start| &path[start..])
}
