//! CPU time of what runs on the host, by the accounting of its control groups.
//!
//! The kernel charges a group and all above it while a process runs. So the time of processes that lived between two looks is
//! there, and that of a group that was removed in between is still in the group above it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

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
/// A group's directory as the start of paths, which costs less than one that can be read.
const GROUP: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
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
    path: Arc<str>,
    cgroup: Arc<Cgroup>,
    /// Usage in ns at the last look; nothing where it belongs to the group around it.
    usage: Option<u64>,
    look: u64,
    /// Whether groups in it were left out at the last look.
    is_cut: bool,
    /// The groups in it.
    groups: Box<[u64]>,
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
    /// The groups in the root.
    groups: Box<[u64]>,
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
            groups: Box::default(),
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
        let links = rustix::fs::fstat(&root).map_or(0, |status| links(&status));
        let groups = std::mem::take(&mut self.groups);
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
        let inside = walk.groups_in(&root, links, &groups, None, 0, &mut top);
        let (owners, left_out) = (walk.owners, walk.left_out);
        self.groups = inside;
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

/// A group in a directory.
struct Inside {
    name: Arc<str>,
    /// Where its name begins in that.
    at: usize,
    inode: u64,
    /// See [`links`].
    links: u64,
}

impl Inside {
    fn new(name: Arc<str>, at: usize, status: &Stat) -> Self {
        let (inode, links) = (status.st_ino, links(status));
        Self { name, at, inode, links }
    }

    fn name(&self) -> &str {
        &self.name[self.at..]
    }
}

impl Walk<'_> {
    /// Looks at the groups in a directory, which is of the owner at that place in the list. Returns what they are.
    fn groups_in(
        &mut self,
        directory: &OwnedFd,
        links: u64,
        remembered: &[u64],
        owner: Option<usize>,
        depth: usize,
        within: &mut Within,
    ) -> Box<[u64]> {
        let room = if depth < MAX_DEPTH { within.left } else { 0 };
        let inside = self.still_in(directory, links, remembered);
        let (inside, beyond) = inside.map_or_else(|| listed(directory, room), |inside| (inside, 0));
        self.left_out += beyond;
        within.is_cut |= beyond > 0;
        for group in &inside {
            // Those in the ones before took room too.
            if within.left == 0 || room == 0 {
                within.is_cut = true;
                self.left_out += 1;
                continue;
            }
            within.left -= 1;
            let length = self.path.len();
            self.path.push('/');
            self.path.push_str(group.name());
            self.group(directory, group, owner, depth, within);
            self.path.truncate(length);
        }
        inside.iter().map(|group| group.inode).collect()
    }

    /// The groups that were in a directory at the last look, if they are exactly those that are there now: a list of the
    /// directory is long, since its files are in it too. The kernel counts the groups in one as its links (`kernfs_refresh_inode`
    /// in `fs/kernfs/inode.c`); times of a directory do not change with them where nobody else has got it.
    fn still_in(&self, directory: &OwnedFd, links: u64, remembered: &[u64]) -> Option<Vec<Inside>> {
        if links != remembered.len() as u64 + 2 {
            return None;
        }
        let found = remembered.iter().map(|inode| {
            let name = Arc::clone(&self.times.known.get(inode)?.path);
            let at = name.rfind('/')? + 1;
            let status = rustix::fs::statat(directory, &name[at..], AtFlags::SYMLINK_NOFOLLOW).ok()?;
            (status.st_ino == *inode).then(|| Inside::new(name, at, &status))
        });
        found.collect()
    }

    fn group(&mut self, above: &OwnedFd, group: &Inside, around: Option<usize>, depth: usize, within: &mut Within) {
        let inode = group.inode;
        let is_new = !self.times.known.contains_key(&inode) && !within.was_cut;
        let cgroup = self.cgroup(inode);
        let is_own = match around {
            Some(around) => *self.owners[around].cgroup != *cgroup,
            None => *cgroup != Cgroup::default(),
        };
        // Two links: no groups in it.
        let directory = if group.links == 2 {
            None
        } else {
            let Ok(directory) = rustix::fs::openat(above, group.name(), GROUP, Mode::empty()) else {
                return;
            };
            Some(directory)
        };
        let mut owner = around;
        let mut usage_now = None;
        if is_own {
            // Before those within it: what they use in between would be missing here.
            usage_now = match &directory {
                Some(directory) => usage(directory, self.accounting.file),
                None => usage(above, &format!("{}/{}", group.name(), self.accounting.file)),
            };
            let time = usage_now.map_or(Duration::ZERO, |now| self.grown(inode, is_new, now));
            if let Some(around) = around {
                let rest = &mut self.owners[around].time;
                *rest = rest.saturating_sub(time);
            }
            owner = Some(self.owners.len());
            self.owners.push(CpuTime { cgroup, time });
        }
        let known = self.times.known.get_mut(&inode);
        let (remembered, was_cut) = known.map_or_else(Default::default, |known| {
            known.usage = usage_now;
            (std::mem::take(&mut known.groups), known.is_cut)
        });
        let Some(directory) = directory else { return };
        if around.is_some() || owner.is_none() {
            let inside = self.groups_in(&directory, group.links, &remembered, owner, depth + 1, within);
            return self.remember(inode, inside, false);
        }
        let room = within.left.min(MAX_WITHIN);
        let mut own = Within {
            left: room,
            was_cut,
            is_cut: false,
        };
        let inside = self.groups_in(&directory, group.links, &remembered, owner, depth + 1, &mut own);
        within.left -= room - own.left;
        self.remember(inode, inside, own.is_cut);
    }

    /// Keeps what is in a group for the next look.
    fn remember(&mut self, inode: u64, groups: Box<[u64]>, is_cut: bool) {
        if let Some(known) = self.times.known.get_mut(&inode) {
            (known.groups, known.is_cut) = (groups, is_cut);
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
            groups: Box::default(),
        };
        self.times.known.insert(inode, known);
        cgroup
    }
}

fn parse(mount: &Path, path: &str) -> Arc<Cgroup> {
    Arc::new(Cgroup::of_owned([(path, delegation::below(mount, path))]))
}

/// The first `most` groups in a directory, as it lists them, and how many more there are. Those that are removed in the
/// meantime are not seen any more.
fn listed(directory: &OwnedFd, most: usize) -> (Vec<Inside>, u64) {
    let (mut inside, mut beyond) = (Vec::new(), 0);
    let Ok(entries) = rustix::fs::openat(directory, ".", MOUNT, Mode::empty()).and_then(Dir::new) else {
        return (inside, beyond);
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if inside.len() == most {
            beyond += 1;
        } else if let Ok(status) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            inside.push(Inside::new(name.to_string_lossy().into(), 0, &status));
        }
    }
    (inside, beyond)
}

/// Links to a directory: where the file system counts them, those to itself, and one of each directory in it.
#[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
fn links(status: &Stat) -> u64 {
    u64::from(status.st_nlink)
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
