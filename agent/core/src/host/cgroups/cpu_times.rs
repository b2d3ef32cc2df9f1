//! CPU time of what runs on the host, by the accounting of its control groups.
//!
//! The kernel charges a group and all above it while a process runs. So the time of processes that lived between two looks is
//! there, and that of a group that was removed in between is still in the group above it.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::{delegation, hierarchy};
use crate::cgroup::Cgroup;
use crate::host::HostRoots;

/// Most groups that are looked at; a node with 110 pods has about a thousand.
const MAX_GROUPS: usize = 16_384;

/// Most of them in one container or unit that is in no other: what runs there may make as many as it likes.
const MAX_WITHIN: usize = 1024;

/// Most groups, one in another. The kernel allows more, container engines make ten at most.
const MAX_DEPTH: usize = 32;

/// Limit in bytes of a file of accounting, of which the first line is used.
const MAX_BYTES: usize = 512;

const MOUNT: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = MOUNT.union(OFlags::NOFOLLOW);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The hierarchy whose accounting is read.
#[derive(Debug)]
struct Accounting {
    mount: PathBuf,
    /// Below a group: `cpuacct.usage` in ns (v1), or `cpu.stat`, whose first line is `usage_usec` in µs (v2).
    file: &'static str,
}

/// A group that was looked at, by the inode number of its directory, which is not used again.
#[derive(Debug)]
struct Known {
    path: Box<str>,
    cgroup: Arc<Cgroup>,
    /// Usage in ns at the last look; nothing where it belongs to the group around it.
    usage: Option<u64>,
    look: u64,
    /// Whether groups in it were left out at the last look.
    is_cut: bool,
}

/// CPU time of one owner since the last look, without that of owners within it.
#[derive(Debug, Clone)]
pub struct CpuTime {
    /// The container, pod, unit or job.
    pub cgroup: Arc<Cgroup>,
    /// What its processes used.
    pub time: Duration,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Each owner, those that used nothing included. A pod's own is what is in none of its containers.
    pub owners: Vec<CpuTime>,
    /// Time since the last look; nothing at the first, which has no times.
    pub elapsed: Option<Duration>,
    /// CPU time of the whole machine in it, where the kernel accounts for that.
    pub all: Option<Duration>,
    /// Groups beyond the bounds: what runs there is counted for what is around them.
    pub left_out: u64,
}

/// Looks at the CPU time of all groups.
#[derive(Debug)]
pub struct CpuTimes {
    roots: HostRoots,
    known: HashMap<u64, Known>,
    look: u64,
    before: Option<Instant>,
    root: Option<u64>,
    /// Whether the last look left out groups that are in no container and unit.
    is_cut: bool,
}

impl CpuTimes {
    /// Of the host. Nothing is read before the first look.
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            known: HashMap::new(),
            look: 0,
            before: None,
            root: None,
            is_cut: false,
        }
    }

    /// Whether the host shows the accounting of a hierarchy: without, no CPU time is known of anybody.
    pub fn is_accounted(roots: &HostRoots) -> bool {
        Accounting::find(roots).is_some()
    }

    /// What was used since the last look. A group that was not there then has begun since.
    pub fn look(&mut self, now: Instant) -> Look {
        let before = self.before.replace(now);
        let Some(accounting) = Accounting::find(&self.roots) else {
            // Times from before a pause would be of another interval.
            self.before = None;
            self.known.clear();
            return Look::default();
        };
        // `cpuacct` is a link to the hierarchy of several controllers.
        let Ok(root) = rustix::fs::open(&accounting.mount, MOUNT, Mode::empty()) else {
            return Look::default();
        };
        self.look += 1;
        let all = usage(&root, accounting.file);
        let last = std::mem::replace(&mut self.root, all);
        let mut walk = Walk {
            times: self,
            accounting: &accounting,
            is_first: before.is_none(),
            owners: Vec::new(),
            path: String::new(),
            left_out: 0,
        };
        let mut top = Within {
            left: MAX_GROUPS,
            was_cut: walk.times.is_cut,
            is_cut: false,
        };
        walk.groups_in(&root, None, 0, &mut top);
        let (owners, left_out) = (walk.owners, walk.left_out);
        self.is_cut = top.is_cut;
        let newest = self.look;
        self.known.retain(|_, known| known.look == newest);
        if before.is_none() {
            return Look {
                owners,
                left_out,
                ..Look::default()
            };
        }
        let grown = all.zip(last).and_then(|(all, last)| all.checked_sub(last));
        Look {
            owners,
            elapsed: before.map(|before| now.saturating_duration_since(before)),
            all: grown.map(Duration::from_nanos),
            left_out,
        }
    }
}

impl Accounting {
    /// Where v1 accounts for CPU time, containers may have no group in v2.
    fn find(roots: &HostRoots) -> Option<Self> {
        let top = roots.path("/sys/fs/cgroup");
        let legacy = hierarchy::legacy(&top, "cpuacct").map(|mount| (mount, "cpuacct.usage"));
        let (mount, file) = legacy.or_else(|| Some((hierarchy::unified(&top)?, "cpu.stat")))?;
        Some(Self { mount, file })
    }
}

struct Walk<'a> {
    times: &'a mut CpuTimes,
    accounting: &'a Accounting,
    is_first: bool,
    owners: Vec<CpuTime>,
    /// Of the group that is being looked at.
    path: String,
    left_out: u64,
}

/// The room for groups within something, and whether there was too little of it last time and is now. A group that is seen for
/// the first time may then be an old one.
struct Within {
    left: usize,
    was_cut: bool,
    is_cut: bool,
}

impl Walk<'_> {
    /// Looks at the groups in a directory, which is of the owner at that place in the list.
    fn groups_in(&mut self, directory: &OwnedFd, owner: Option<usize>, depth: usize, within: &mut Within) {
        let Ok(entries) = Dir::read_from(directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if within.left == 0 || depth >= MAX_DEPTH {
                within.is_cut = true;
                self.left_out += 1;
                continue;
            }
            within.left -= 1;
            let length = self.path.len();
            self.path.push('/');
            self.path.push_str(&name.to_string_lossy());
            self.group(directory, name, entry.ino(), owner, depth, within);
            self.path.truncate(length);
        }
    }

    fn group(
        &mut self,
        above: &OwnedFd,
        name: &CStr,
        inode: u64,
        around: Option<usize>,
        depth: usize,
        within: &mut Within,
    ) {
        // One that is removed in the meantime is not seen any more.
        let Ok(status) = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return;
        };
        let is_new = !self.times.known.contains_key(&inode) && !within.was_cut;
        let cgroup = self.cgroup(inode);
        let is_own = match around {
            Some(around) => *self.owners[around].cgroup != *cgroup,
            None => *cgroup != Cgroup::default(),
        };
        // Two links: no groups in it (`kernfs`).
        let has_groups = status.st_nlink != 2;
        let directory = if is_own || has_groups {
            let Ok(directory) = rustix::fs::openat(above, name, DIRECTORY, Mode::empty()) else {
                return;
            };
            Some(directory)
        } else {
            None
        };
        let mut owner = around;
        let mut usage_now = None;
        if let Some(directory) = directory.as_ref().filter(|_| is_own) {
            // Before those within it: what they use in between would be missing here.
            usage_now = usage(directory, self.accounting.file);
            let time = usage_now.map_or(Duration::ZERO, |now| self.grown(inode, is_new, now));
            if let Some(around) = around {
                let rest = &mut self.owners[around].time;
                *rest = rest.saturating_sub(time);
            }
            owner = Some(self.owners.len());
            self.owners.push(CpuTime { cgroup, time });
        }
        if let Some(known) = self.times.known.get_mut(&inode) {
            known.usage = usage_now;
        }
        let Some(directory) = directory.filter(|_| has_groups) else {
            return;
        };
        if around.is_some() || owner.is_none() {
            return self.groups_in(&directory, owner, depth + 1, within);
        }
        let room = within.left.min(MAX_WITHIN);
        let mut own = Within {
            left: room,
            was_cut: self.times.known.get(&inode).is_some_and(|known| known.is_cut),
            is_cut: false,
        };
        self.groups_in(&directory, owner, depth + 1, &mut own);
        within.left -= room - own.left;
        if let Some(known) = self.times.known.get_mut(&inode) {
            known.is_cut = own.is_cut;
        }
    }

    /// What the group used since the last look. One that was not there began with nothing, and so did one whose accounting
    /// was reset.
    fn grown(&self, inode: u64, is_new: bool, now: u64) -> Duration {
        if self.is_first {
            return Duration::ZERO;
        }
        let last = self.times.known.get(&inode).and_then(|known| known.usage);
        let before = match last {
            Some(last) if now >= last => last,
            // It could not be read last time, or was not of an owner of its own.
            None if !is_new => now,
            _ => 0,
        };
        Duration::from_nanos(now - before)
    }

    /// Who the group is of. Its path is taken apart once.
    fn cgroup(&mut self, inode: u64) -> Arc<Cgroup> {
        let (path, look) = (&*self.path, self.times.look);
        if let Some(known) = self.times.known.get_mut(&inode).filter(|known| *known.path == *path) {
            known.look = look;
            return Arc::clone(&known.cgroup);
        }
        let cgroup = parse(&self.accounting.mount, path);
        let usage = self.times.known.get(&inode).and_then(|known| known.usage);
        let known = Known {
            path: path.into(),
            cgroup: Arc::clone(&cgroup),
            usage,
            look,
            is_cut: false,
        };
        self.times.known.insert(inode, known);
        cgroup
    }
}

fn parse(mount: &Path, path: &str) -> Arc<Cgroup> {
    Arc::new(Cgroup::of_owned([(path, delegation::below(mount, path))]))
}

/// CPU time in ns of a group and all within it.
fn usage(directory: &OwnedFd, file: &str) -> Option<u64> {
    let file = rustix::fs::openat(directory, file, FILE, Mode::empty()).ok()?;
    let mut buffer = [0; MAX_BYTES];
    let length = rustix::io::read(&file, &mut buffer).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    match text.lines().next()?.split_once(' ') {
        Some(("usage_usec", micros)) => micros.trim().parse::<u64>().ok()?.checked_mul(1000),
        Some(_) => None,
        None => text.trim().parse().ok(),
    }
}
