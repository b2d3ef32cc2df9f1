//! A container, unit or job that holds an accelerator: what is read of it, and what that says.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::cgroups::Groups;
use accelscope_core::metric::{Attributes, Timestamp};

use super::counter::{Counter, Refused};
use super::files::{KernelFile, Reader};
use super::limits::Limits;
use super::member::{Member, Waits};
use super::parse::{field, number, pressure};
use super::throttle::{Stat, Throttle};

/// The files with pressure, in the order of [`Group::pressure`].
const PRESSURE: [&str; 3] = ["cpu.pressure", "memory.pressure", "io.pressure"];
/// What a counter may be ahead of the time between two looks, in ns: the kernel adds up what CPUs counted every 2 s
/// (`PSI_FREQ`, kernel/sched/psi.c).
const AHEAD: u64 = 5_000_000_000;
/// Shortest time between two looks of which shares are made.
const SHORTEST: Duration = Duration::from_millis(200);

/// Its files; nothing for one that the kernel does not have.
#[derive(Debug, Default)]
struct Files {
    /// With periods and throttled time; in v2 with the CPU time too.
    stat: Option<KernelFile>,
    /// The same of the group around it, where that has a quota.
    around: Option<KernelFile>,
    /// With the CPU time: `cpuacct.usage` of v1, or `cpu.stat` of v2 where another hierarchy has the quota.
    usage: Option<KernelFile>,
    memory: Option<KernelFile>,
    events: Option<KernelFile>,
    pressure: [Option<KernelFile>; 3],
}

/// Shares of the time since the look before, by what was waited for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Shares {
    pub(super) quota: Option<f64>,
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) io: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) cgroup: Arc<Cgroup>,
    pub(super) members: Vec<Member>,
    pub(super) devices: Vec<Arc<Attributes>>,
    /// When it was first seen to hold.
    pub(super) since: Timestamp,
    directory: Option<PathBuf>,
    inode: u64,
    directories: Vec<(String, PathBuf)>,
    files: Files,
    pub(super) limits: Limits,
    pub(super) cpu_time: Counter,
    pub(super) throttle: Throttle,
    pub(super) pressure: [[Counter; 2]; 3],
    pub(super) oom_kills: Counter,
    /// In ns, since `since`.
    pub(super) waited: Option<u64>,
    looked: Option<Instant>,
    /// Whether it held nothing for a while before the next look.
    is_back: bool,
    /// When, in clock ticks since boot.
    pub(super) looked_ticks: u64,
}

/// What a look has found, beside the counters' totals: only what could be read now is shown.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) cpu_time: bool,
    pub(super) throttle: bool,
    pub(super) pressure: [[bool; 2]; 3],
    pub(super) oom_kills: bool,
    pub(super) memory: Option<i64>,
    pub(super) shares: Shares,
    pub(super) refused: Vec<Refused>,
}

/// Bounds and tools of a look.
pub(super) struct Means<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) proc: &'a Path,
    /// CPUs that the machine can have.
    pub(super) cpus: u64,
    /// Threads that may be read of each member.
    pub(super) threads: usize,
}

impl Group {
    pub(super) fn new(cgroup: Arc<Cgroup>, since: Timestamp) -> Self {
        Self {
            cgroup,
            members: Vec::new(),
            devices: Vec::new(),
            since,
            directory: None,
            inode: 0,
            directories: Vec::new(),
            files: Files::default(),
            limits: Limits::default(),
            cpu_time: Counter::default(),
            throttle: Throttle::default(),
            pressure: Default::default(),
            oom_kills: Counter::default(),
            waited: None,
            looked: None,
            is_back: false,
            looked_ticks: 0,
        }
    }

    /// Takes the directories as they are now, and reads the limits. A group with the name of a removed one counts from 0, and
    /// its totals go on.
    pub(super) fn refresh(&mut self, groups: &Groups) {
        let main = groups
            .unified()
            .or_else(|| groups.legacy("memory"))
            .or_else(|| groups.legacy("cpu"));
        let main = main.and_then(|main| Some((main, inode(main)?)));
        let limits = Limits::read(groups);
        let is_new = main.is_some_and(|(_, inode)| inode != self.inode);
        if is_new && self.looked.is_some() && self.directory.as_deref() == main.map(|(directory, _)| directory) {
            self.restart();
        }
        if is_new || groups.directories != self.directories || limits.around_has_quota != self.limits.around_has_quota {
            self.files = Files::find(groups, limits.around_has_quota);
            self.directories.clone_from(&groups.directories);
        }
        // One that is not there is compared with the next one of its name.
        if let Some((directory, inode)) = main {
            (self.directory, self.inode) = (Some(directory.to_owned()), inode);
        }
        self.limits = limits;
    }

    /// Keeps the counters alone, for the time when it holds again. When it was looked at last; never, and there are none.
    pub(super) fn rest(&mut self) -> Option<Instant> {
        self.members = Vec::new();
        self.devices = Vec::new();
        self.directories = Vec::new();
        self.files = Files::default();
        // What the pod's other containers do meanwhile is not this one's.
        self.throttle.forget_around();
        self.is_back = true;
        self.looked
    }

    fn restart(&mut self) {
        self.cpu_time.restart();
        self.throttle.restart();
        self.oom_kills.restart();
        self.pressure.iter_mut().flatten().for_each(Counter::restart);
    }

    /// Whether it is as it was when its directories were looked for: neither removed nor made anew.
    pub(super) fn is_there(&self) -> bool {
        let now = self.directory.as_deref().map(inode);
        // Without a group of its own in any hierarchy that is read, its processes are all that is known.
        now.is_none_or(|now| now == Some(self.inode))
    }

    pub(super) fn open_files(&self) -> usize {
        let files = &self.files;
        let all = [&files.stat, &files.around, &files.usage, &files.memory, &files.events];
        let all = all.into_iter().chain(&files.pressure).flatten();
        all.filter(|file| file.is_open()).count()
    }

    pub(super) fn look(&mut self, means: &mut Means<'_>, now: Instant) -> Look {
        let elapsed = self.looked.replace(now).map(|before| now.duration_since(before));
        let nanos = elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        let wall = nanos.saturating_add(AHEAD);
        let by_cpus = wall.saturating_mul(means.cpus);
        let mut look = Look::default();
        let is_back = std::mem::take(&mut self.is_back);
        let share = |grown: u64| {
            let elapsed = elapsed.filter(|elapsed| !is_back && *elapsed >= SHORTEST)?;
            Some((grown as f64 / 1e9 / elapsed.as_secs_f64()).min(1.0))
        };
        let throttled = self.look_at_cpu(means.reader, by_cpus, wall, &mut look);
        let stalled = self.look_at_pressure(means.reader, wall, &mut look);
        [look.shares.memory, look.shares.io] = [1, 2].map(|at| stalled[at].and_then(share));
        self.look_at_memory(means.reader, &mut look);
        let waits = self.look_at_members(means, wall);
        let refused = waits.map_or(0, |waits| waits.implausible);
        (0..refused).for_each(|_| look.refused.push(Refused::Implausible));
        look.shares.cpu = match waits {
            Some(Waits { ran, waited, .. }) => {
                let ready = ran.saturating_add(waited);
                let part = if ready == 0 { 0.0 } else { waited as f64 / ready as f64 };
                share(waited).map(|share| share.min(part))
            }
            // Without counts of the threads, what the kernel knows of the group.
            None => stalled[0].and_then(share),
        };
        look.shares.quota = throttled.and_then(|grown| Some(quota_share(grown, share(grown.time)?, look.shares.cpu)));
        look
    }

    fn look_at_cpu(&mut self, reader: &mut Reader, by_cpus: u64, wall: u64, look: &mut Look) -> Option<Stat> {
        let files = &mut self.files;
        let (mut own, mut used) = (None, None);
        if let Some(Ok(text)) = files.stat.as_mut().map(|file| reader.read(file)) {
            own = Stat::parse(text);
            used = micros(field(text, "usage_usec"));
        }
        if let Some(Ok(text)) = files.usage.as_mut().map(|file| reader.read(file)) {
            used = micros(field(text, "usage_usec")).or_else(|| number(text));
        }
        let around = files
            .around
            .as_mut()
            .and_then(|file| Stat::parse(reader.read(file).ok()?));
        look.cpu_time = take(&mut self.cpu_time, used, by_cpus, &mut look.refused).is_some();
        match self.throttle.take(own?, around, by_cpus, wall) {
            Ok(grown) => {
                look.throttle = true;
                Some(grown)
            }
            Err(refused) => {
                look.refused.push(refused);
                None
            }
        }
    }

    /// Returns by how much `some` of each has grown, in ns.
    fn look_at_pressure(&mut self, reader: &mut Reader, wall: u64, look: &mut Look) -> [Option<u64>; 3] {
        let mut grown = [None; 3];
        for (at, file) in self.files.pressure.iter_mut().enumerate() {
            // A group may have it switched off (`cgroup.pressure`), and then it cannot be read.
            let Some(Ok(text)) = file.as_mut().map(|file| reader.read(file)) else {
                continue;
            };
            for (kind, total) in pressure(text).into_iter().enumerate() {
                let taken = take(&mut self.pressure[at][kind], micros(total), wall, &mut look.refused);
                look.pressure[at][kind] = taken.is_some();
                if kind == 0 {
                    grown[at] = taken;
                }
            }
        }
        grown
    }

    fn look_at_memory(&mut self, reader: &mut Reader, look: &mut Look) {
        let files = &mut self.files;
        let usage = files.memory.as_mut().and_then(|file| number(reader.read(file).ok()?));
        look.memory = usage.and_then(|bytes| i64::try_from(bytes).ok());
        let kills = files
            .events
            .as_mut()
            .and_then(|file| field(reader.read(file).ok()?, "oom_kill"));
        look.oom_kills = take(&mut self.oom_kills, kills, u64::from(u32::MAX), &mut look.refused).is_some();
    }

    fn look_at_members(&mut self, means: &Means<'_>, wall: u64) -> Option<Waits> {
        let mut waits = Waits::default();
        let mut any = false;
        for member in &mut self.members {
            any |= member.read(means.proc, means.threads, wall, &mut waits);
        }
        if !any {
            return None;
        }
        self.waited = Some(self.waited.unwrap_or_default().saturating_add(waits.waited));
        Some(waits)
    }
}

impl Files {
    fn find(groups: &Groups, around_has_quota: bool) -> Self {
        let in_group = |group: Option<&Path>, name: &str| KernelFile::find(group?.join(name));
        let unified = |name: &str| in_group(groups.unified(), name);
        let quota = groups.legacy("cpu").or_else(|| groups.unified());
        let (memory, events) = match groups.legacy("memory") {
            Some(group) => ("memory.usage_in_bytes", group.join("memory.oom_control")),
            None => (
                "memory.current",
                groups
                    .unified()
                    .map(|group| group.join("memory.events"))
                    .unwrap_or_default(),
            ),
        };
        let usage = in_group(groups.legacy("cpuacct"), "cpuacct.usage");
        let is_apart = groups.legacy("cpu").is_some();
        Self {
            stat: in_group(quota, "cpu.stat"),
            around: around_has_quota
                .then(|| in_group(quota?.parent(), "cpu.stat"))
                .flatten(),
            usage: usage.or_else(|| is_apart.then(|| unified("cpu.stat")).flatten()),
            memory: in_group(groups.legacy("memory").or_else(|| groups.unified()), memory),
            events: KernelFile::find(events),
            pressure: PRESSURE.map(unified),
        }
    }
}

/// Share of the time that a quota held back.
///
/// The time is summed over CPUs, so that the share of periods in which it was throttled bounds it. It may be too short, too:
/// since Linux 6.18 it begins when a task that is to wait is picked to run (`throttle_cfs_rq_work`, kernel/sched/fair.c), which
/// is late on a CPU that others use. What was waited for a CPU in such periods was waited for the quota: the group has used it
/// up although there were others.
fn quota_share(grown: Stat, time: f64, waited: Option<f64>) -> f64 {
    if grown.periods == 0 {
        return time;
    }
    let periods = grown.throttled as f64 / grown.periods as f64;
    time.max(waited.unwrap_or_default()).min(periods)
}

fn micros(number: Option<u64>) -> Option<u64> {
    number?.checked_mul(1000)
}

fn inode(directory: &Path) -> Option<u64> {
    Some(directory.metadata().ok()?.ino())
}

/// By how much it has grown; nothing where it could not be read, or cannot be.
fn take(counter: &mut Counter, now: Option<u64>, most: u64, refused: &mut Vec<Refused>) -> Option<u64> {
    counter.take(now?, most).map_err(|why| refused.push(why)).ok()
}
