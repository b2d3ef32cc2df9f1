//! The sampler `holders`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::cgroup::Cgroup;
use accelscope_core::holders::{Held, Holders};
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::GroupFinder;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Batch, Point, Timestamp};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::settings::Enabled;
use accelscope_core::source::Context;
use accelscope_core::telemetry::ReasonCounter;
use rustix::time::{ClockId, clock_gettime};

use super::counter::Refused;
use super::files::Reader;
use super::former::Former;
use super::group::{Group, Means};
use super::member::Member;
use super::members::{Grouped, Members, REFRESH};
use super::points::Points;
use super::settings::{NAME, Settings};

/// Most threads that are read in a run, where there are not more processes.
const MAX_THREADS: usize = 2048;
/// CPUs of a machine that does not tell how many it can have (`NR_CPUS` of distributions).
const MOST_CPUS: u64 = 8192;
/// Limit in bytes of the list of CPUs.
const MAX_LIST_BYTES: usize = 4096;
/// Where there is one reading only: how long the other samplers are waited for, and the time between two looks.
const PATIENCE: Duration = Duration::from_secs(3);
const BETWEEN: Duration = Duration::from_secs(1);
/// Reasons why something is left out.
const GROUPS: &str = "too_many_groups";
const PROCESSES: &str = "too_many_processes";

/// The sampler `holders`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    holders: Holders,
    once: bool,
    proc: PathBuf,
    members: Members,
    held: Vec<Held>,
    generation: Option<u64>,
    grouped: Option<Instant>,
    groups: HashMap<Arc<Cgroup>, Group>,
    former: Former,
    reader: Reader,
    points: Points,
    cpus: u64,
    boot: Option<Timestamp>,
    skipped: ReasonCounter,
    is_empty: bool,
}

impl Sampler {
    /// Reads nothing before there is a holder.
    pub fn new(settings: Settings, context: &Context) -> Self {
        let skipped = ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME);
        skipped.begin(Refused::ALL.into_iter().chain([GROUPS, PROCESSES]));
        let processes = Processes::new(&context.roots);
        let boot = processes.boot_time().ok();
        let finder = GroupFinder::new(&context.roots, context.cgroups.clone());
        Self {
            settings,
            holders: context.holders.clone(),
            once: context.once,
            proc: context.roots.proc(),
            members: Members::new(processes, finder),
            held: Vec::new(),
            generation: None,
            grouped: None,
            groups: HashMap::new(),
            former: Former::default(),
            reader: Reader::new(),
            points: Points::new(),
            cpus: possible_cpus(&context.roots).unwrap_or(MOST_CPUS),
            boot,
            skipped,
            is_empty: true,
        }
    }

    /// Takes the holders as they are now, where there are others or their groups were looked for long ago.
    pub(super) fn group(&mut self, now: Instant) {
        let is_due = self.grouped.is_none_or(|grouped| now >= grouped + REFRESH);
        let new = self.holders.now(self.generation);
        if new.is_none() && !is_due && self.groups.values().all(Group::is_there) {
            return;
        }
        if let Some((generation, held)) = new {
            (self.generation, self.held) = (Some(generation), held);
        }
        self.grouped = Some(now);
        let before: HashSet<Arc<Cgroup>> = self.groups.keys().cloned().collect();
        let grouped = self.members.group(&self.held, &before, now);
        self.apply(grouped, now);
    }

    fn apply(&mut self, grouped: Grouped, now: Instant) {
        self.skipped.add(grouped.groups_left_out, GROUPS);
        self.skipped.add(grouped.processes_left_out, PROCESSES);
        let mut groups = HashMap::new();
        for found in grouped.found {
            let known = self.groups.remove(&found.cgroup);
            let known = known.or_else(|| self.former.take(&found.cgroup, now));
            let is_known = known.is_some();
            let mut group = known.unwrap_or_else(|| Group::new(found.cgroup.clone(), Timestamp::now()));
            group.refresh(&found.groups);
            group.devices = found.devices;
            let mut members: HashMap<_, Member> = group.members.drain(..).map(|member| (member.key, member)).collect();
            let looked_at = group.looked_ticks;
            group.members.extend(found.processes.into_iter().map(|key| {
                let is_new = is_known && key.start_ticks > looked_at;
                members.remove(&key).unwrap_or_else(|| Member::new(key, is_new))
            }));
            // One that vanished between the list and now.
            if group.is_there() {
                groups.insert(found.cgroup, group);
            } else {
                self.former.keep(group, now);
            }
        }
        for (_, group) in std::mem::replace(&mut self.groups, groups) {
            self.former.keep(group, now);
        }
        self.former.forget(now);
    }

    /// How many groups that hold nothing any more are known.
    #[cfg(test)]
    pub(super) fn former(&self) -> usize {
        self.former.count()
    }

    pub(super) fn look(&mut self, now: Instant) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.groups.len() * 24);
        self.reader.set_open(self.groups.values().map(Group::open_files).sum());
        let ticks = ticks_since_boot();
        let groups = self.groups.len().max(1);
        for group in self.groups.values_mut() {
            let threads = (MAX_THREADS / groups / group.members.len().max(1)).max(1);
            let mut means = Means {
                reader: &mut self.reader,
                proc: &self.proc,
                cpus: self.cpus,
                threads,
            };
            let look = group.look(&mut means, now);
            group.looked_ticks = ticks;
            for refused in &look.refused {
                self.skipped.add(1, refused.reason());
            }
            self.points.add(group, &look, self.boot, &mut points);
        }
        points
    }
}

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: self.settings.period,
            deadline: Duration::from_secs(5),
        }
    }

    /// Where nobody holds an accelerator, the first one who does is looked at at once, so that its counters begin.
    fn wait(&mut self, until: Instant) {
        if self.is_empty {
            self.holders.wait_for_any(until);
        } else {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        if self.once {
            self.holders.wait_for_all(Instant::now() + PATIENCE);
        }
        self.group(Instant::now());
        let was_empty = std::mem::replace(&mut self.is_empty, self.held.is_empty());
        if self.groups.is_empty() && was_empty && self.is_empty {
            // That nobody does is no error.
            if self.settings.enabled == Enabled::True {
                return Outcome::Sampled;
            }
            return Outcome::NothingHere("nobody holds an accelerator".to_owned());
        }
        let mut points = self.look(Instant::now());
        if self.once && !self.groups.is_empty() {
            std::thread::sleep(BETWEEN);
            points = self.look(Instant::now());
        }
        out.push(Batch::whole(NAME, points));
        Outcome::Sampled
    }
}

/// Clock ticks since boot, as the start of processes is counted.
fn ticks_since_boot() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    let nanos = time.as_nanos() * u128::from(rustix::param::clock_ticks_per_second());
    u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX)
}

/// How many CPUs the machine can have: `0-7`.
fn possible_cpus(roots: &HostRoots) -> Option<u64> {
    let text = roots.read("/sys/devices/system/cpu/possible", MAX_LIST_BYTES).ok()?;
    let text = String::from_utf8_lossy(&text);
    let last = text.trim().rsplit([',', '-']).next()?.parse::<u64>().ok()?;
    Some(last.saturating_add(1))
}
