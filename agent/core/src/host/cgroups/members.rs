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

/// Names of the groups of all processes that are visible.
#[derive(Debug)]
pub(super) struct Members {
    processes: Processes,
    names: HashSet<Box<str>>,
    /// Whether processes of more than one group are visible: in a process namespace of its own the reader sees only those
    /// of its container, and knows nothing of the others.
    is_whole: bool,
    due: Option<Instant>,
}

impl Members {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            names: HashSet::new(),
            is_whole: false,
            due: None,
        }
    }

    /// Whether the group with that path has a process; `None` where that cannot be known from here.
    pub(super) fn has_any(&mut self, path: &str, now: Instant) -> Option<bool> {
        let name = name(path)?;
        if self.due.is_none_or(|due| now >= due) {
            self.walk(now);
        }
        self.is_whole.then(|| self.names.contains(name))
    }

    fn walk(&mut self, now: Instant) {
        let begun = Instant::now();
        self.names.clear();
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
            for name in cgroup::paths(&text).filter_map(name) {
                if !self.names.contains(name) {
                    self.names.insert(name.into());
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

/// The last part of a group's path; none of a root.
fn name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    (!name.is_empty() && name != "..").then_some(name)
}
