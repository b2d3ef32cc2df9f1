//! Hailo: the monitor files of HailoRT and the devices in sysfs.
//!
//! An application that was started with `HAILO_MONITOR=1` writes a file at every interval, a second by default. It is
//! read when it was written. Nothing is locked, and no device node is opened.

mod decode;
mod device;
mod directory;
mod discover;
mod explain;
mod monitored;
mod owner;
mod points;
mod reading;
mod state;
mod values;
mod watch;
mod wire;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;
use opentelemetry::metrics::Counter;

pub use self::device::hw_id;
pub use self::explain::{Finding, Level, explain};

use self::device::Device;
use self::directory::{Directory, DirectoryId};
use self::discover::{Discovery, View};
use self::monitored::{Monitored, warn_once};
use self::owner::{Owned, Search};
use self::points::{Live, Points};
use self::reading::Skipped;
use self::state::Moment;
use self::watch::{Event, Watch};
use super::{Descriptor, Outcome};
use crate::host::HostRoots;
use crate::host::process::Processes;
use crate::metric::catalogue::{agent, hailo, hw};
use crate::metric::{Batch, Instrument, Part, ProcessKey, key};
use crate::telemetry;

/// The sampler's settings (`[hailo]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the monitor files, as a path of the host.
    pub dir: PathBuf,
    /// Also look into the mount namespaces of processes that hold a Hailo device open.
    pub discover: bool,
    /// Age from which a file's values are no longer shown; three of its write intervals, at least 5 s, if absent.
    pub max_age: Option<Duration>,
    /// Shortest time between two readings that are handed on. Every write is counted all the same.
    pub min_interval: Duration,
}

const NAME: &str = "hailo";

/// Without an event, how often ages and processes are looked at: a killed writer's file is shown no longer than this.
const PERIOD: Duration = Duration::from_secs(1);
/// How often sysfs is looked at.
const DEVICES: Duration = Duration::from_secs(5);
/// Shortest time between two looks at what the kernel tells: a file is decoded at most that often.
const REST: Duration = Duration::from_millis(50);
/// How long to wait before trying again to get an inotify instance.
const WATCH_AGAIN: Duration = Duration::from_secs(60);
/// Most searches for a writer in one run; each walks through `/proc`.
const SEARCHES: u32 = 8;
/// And in the first one, whose result must be whole.
const FIRST_SEARCHES: u32 = 256;
/// How often the first run waits for files that may still be being written.
const SETTLE: u32 = 4;
/// Most mount namespaces that are looked into.
const MAX_VIEWS: usize = 256;

static INSTRUMENTS: [&Instrument; 11] = [
    &hailo::DEVICE_INFO,
    &hailo::MONITOR_ACTIVE,
    &hailo::PROCESS_UTILIZATION,
    &hailo::NETWORK_UTILIZATION,
    &hailo::NETWORK_FRAME_RATE,
    &hailo::NETWORK_FRAMES,
    &hailo::STREAM_QUEUE_DEPTH,
    &hailo::STREAM_QUEUE_DEPTH_MIN,
    &hailo::STREAM_QUEUE_DEPTH_MAX,
    &hailo::STREAM_QUEUE_CAPACITY,
    &hw::NPU_UTILIZATION,
];

/// The sampler `hailo`.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    roots: HostRoots,
    processes: Processes,
    points: Points,
    devices: BTreeMap<String, Device>,
    devices_at: Option<Instant>,
    discovery: Discovery,
    watch: Option<Watch>,
    watch_at: Option<Instant>,
    /// The watch for the configured directory to appear.
    parent: Option<WatchDescriptor>,
    configured: Option<Monitored>,
    namespaces: BTreeMap<View, Monitored>,
    seen_as: Vec<PathBuf>,
    looked_at: Option<Instant>,
    handed_on: Option<Instant>,
    skipped: Skipped,
    count_skipped: Counter<u64>,
    count_ambiguous: Counter<u64>,
    warned: Warned,
}

/// What has been said.
#[derive(Debug, Default)]
struct Warned {
    watch: bool,
    hidden: bool,
    deleted: bool,
}

impl Sampler {
    /// `node_name` becomes part of the devices' ids.
    pub fn new(settings: Settings, roots: HostRoots, node_name: String) -> Self {
        Self {
            processes: Processes::new(&roots),
            points: Points::new(device::machine_id(&roots), node_name),
            devices: BTreeMap::new(),
            devices_at: None,
            discovery: Discovery::default(),
            watch: None,
            watch_at: None,
            parent: None,
            configured: None,
            namespaces: BTreeMap::new(),
            seen_as: vec![settings.dir.clone(), PathBuf::from("/").join(directory::IN_ROOT)],
            looked_at: None,
            handed_on: None,
            skipped: Skipped::default(),
            count_skipped: telemetry::counter(&agent::SAMPLER_SKIPPED),
            count_ambiguous: telemetry::counter(&agent::ATTRIBUTION_AMBIGUOUS),
            warned: Warned::default(),
            settings,
            roots,
        }
    }

    fn run(&mut self, now: Moment, out: &mut Vec<Batch>) -> io::Result<bool> {
        self.open_watch(now.instant);
        let devices = self.find_devices(now.instant);
        let configured = self.find_configured();
        self.find_namespaces(now.instant);
        self.take_events();
        let mut failed = devices.and(configured).err();
        for monitored in self.configured.iter_mut().chain(self.namespaces.values_mut()) {
            if let Err(error) = monitored.update(now, &mut self.skipped) {
                failed.get_or_insert(error);
            }
        }
        let first = self.handed_on.is_none();
        let now = if first { self.settle(now, &mut failed) } else { now };
        let due = self
            .handed_on
            .is_none_or(|last| now.instant >= last + self.settings.min_interval);
        let mut found = true;
        if due {
            self.handed_on = Some(now.instant);
            let points = self.points(now, first);
            found = !points.is_empty();
            out.push(Batch {
                part: Part::whole(NAME),
                points,
            });
        }
        for (reason, count) in std::mem::take(&mut self.skipped.0) {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, NAME),
                telemetry::label(key::AGENT_REASON, reason),
            ];
            self.count_skipped.add(count, &labels);
        }
        failed.map_or(Ok(found), Err)
    }

    /// The first result is whole: `--once` takes no second, so a file that may still be being written is waited for.
    fn settle(&mut self, mut now: Moment, failed: &mut Option<io::Error>) -> Moment {
        for _ in 0..SETTLE {
            let mut all = self.configured.iter_mut().chain(self.namespaces.values_mut());
            if !all.any(|monitored| monitored.unsettled) {
                break;
            }
            std::thread::sleep(REST);
            now = Moment::now();
            for monitored in self.configured.iter_mut().chain(self.namespaces.values_mut()) {
                if let Err(error) = monitored.update(now, &mut self.skipped) {
                    failed.get_or_insert(error);
                }
            }
        }
        now
    }

    fn open_watch(&mut self, now: Instant) {
        if self.watch.is_some() || self.watch_at.is_some_and(|last| now < last + WATCH_AGAIN) {
            return;
        }
        self.watch_at = Some(now);
        match Watch::new() {
            Ok(watch) => {
                self.watch = Some(watch);
                // Opened anew, they are watched.
                self.configured = None;
                self.namespaces.clear();
            }
            Err(error) => warn_once(&mut self.warned.watch, &error),
        }
    }

    fn find_devices(&mut self, now: Instant) -> io::Result<()> {
        if self.devices_at.is_some_and(|last| now < last + DEVICES) {
            return Ok(());
        }
        self.devices_at = Some(now);
        self.devices = device::scan(&self.roots)?;
        Ok(())
    }

    fn find_configured(&mut self) -> io::Result<()> {
        let there = rustix::fs::lstat(self.roots.path(&self.settings.dir))
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino));
        let held = self.configured.as_ref().filter(|held| !held.directory.is_deleted());
        if held.is_some_and(|held| Some(held.directory.id) == there) {
            return Ok(());
        }
        if let Some(lost) = self.configured.take() {
            self.forget(lost);
        }
        if there.is_none() {
            self.watch_parent();
            return Ok(());
        }
        match Directory::configured(&self.roots, &self.settings.dir) {
            Ok(directory) if directory.is_deleted() => {
                if !std::mem::replace(&mut self.warned.deleted, true) {
                    tracing::warn!(
                        dir = %self.settings.dir.display(),
                        "the mounted directory was removed on the host, and its mount shows it empty for ever: \
                         mount the directory above it instead"
                    );
                }
                Ok(())
            }
            Ok(directory) => {
                if let (Some(parent), Some(watch)) = (self.parent.take(), &self.watch) {
                    watch.remove(parent);
                }
                self.namespaces
                    .retain(|_, monitored| monitored.directory.id != directory.id);
                self.configured = Some(Monitored::new(directory, self.watch.as_ref(), &mut self.warned.watch));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                let dir = self.settings.dir.display();
                Err(io::Error::new(
                    error.kind(),
                    format!("hailo.dir {dir}: {error}{}", unopened(&error)),
                ))
            }
        }
    }

    fn watch_parent(&mut self) {
        if self.parent.is_none()
            && let (Some(watch), Some(parent)) = (&self.watch, self.settings.dir.parent())
        {
            // Without it the directory is found at the next period.
            self.parent = watch.add_parent(self.roots.path(parent)).ok();
        }
    }

    fn find_namespaces(&mut self, now: Instant) {
        if !self.settings.discover {
            return;
        }
        if let Err(error) = self.discovery.update(&self.processes, &self.devices, now) {
            tracing::debug!(%error, "cannot look for processes that hold a Hailo device");
        }
        let views = self.discovery.views();
        let gone = |view: &View, held: &Monitored| !views.contains_key(view) || held.directory.is_deleted();
        let lost: Vec<View> = self
            .namespaces
            .iter()
            .filter(|(view, held)| gone(view, held))
            .map(|(view, _)| *view)
            .collect();
        for view in lost {
            // An open directory would keep the namespace's mount alive.
            if let Some(lost) = self.namespaces.remove(&view) {
                self.forget(lost);
            }
        }
        for (view, holders) in views.into_iter().take(MAX_VIEWS) {
            if self.namespaces.contains_key(&view) {
                continue;
            }
            let Some(directory) = self.open_in_view(&holders) else {
                continue;
            };
            if !self.known(directory.id) {
                let monitored = Monitored::new(directory, self.watch.as_ref(), &mut self.warned.watch);
                self.namespaces.insert(view, monitored);
            }
        }
    }

    fn open_in_view(&self, holders: &[ProcessKey]) -> Option<Directory> {
        holders.iter().find_map(|holder| {
            let opened = Directory::in_namespace(&self.processes.path(holder.pid, "root"));
            match opened {
                Ok(directory) => Some(directory).filter(|directory| !directory.is_deleted()),
                Err(error) => {
                    tracing::trace!(pid = holder.pid, %error, "no monitor files in the view of a device's user");
                    None
                }
            }
        })
    }

    fn known(&self, id: DirectoryId) -> bool {
        self.configured
            .iter()
            .chain(self.namespaces.values())
            .any(|monitored| monitored.directory.id == id)
    }

    fn forget(&self, lost: Monitored) {
        if let (Some(watch), Some(descriptor)) = (&self.watch, lost.watch) {
            watch.remove(descriptor);
        }
    }

    fn take_events(&mut self) {
        self.drain();
        let Some(watch) = &mut self.watch else { return };
        for event in watch.events.drain(..) {
            let mut all = self.configured.iter_mut().chain(self.namespaces.values_mut());
            match event {
                Event::Name(from, name) => {
                    if let Some(monitored) = all.find(|monitored| monitored.watch.as_ref() == Some(&from)) {
                        monitored.touch(name);
                    }
                }
                // Its removal is found by looking at it.
                Event::Lost(_) => {}
                Event::Overflow => all.for_each(Monitored::rescan),
            }
        }
    }

    fn drain(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let name = self.settings.dir.file_name();
        let wanted = |from: &WatchDescriptor, told: &OsStr| self.parent.as_ref() != Some(from) || Some(told) == name;
        if let Err(error) = watch.drain(wanted) {
            tracing::warn!(%error, "cannot read what changed: everything is looked at instead");
            self.watch = None;
            self.parent = None;
        }
        self.looked_at = Some(Instant::now());
    }

    fn points(&mut self, now: Moment, first: bool) -> Vec<crate::metric::Point> {
        let mut live = Vec::new();
        let mut searches = if first { FIRST_SEARCHES } else { SEARCHES };
        for monitored in self.configured.iter_mut().chain(self.namespaces.values_mut()) {
            let mut search = Search {
                processes: &self.processes,
                directory: monitored.directory.id,
                seen_as: &self.seen_as,
                left: searches,
            };
            for (name, file) in &mut monitored.files {
                if !file.is_fresh(self.settings.max_age, now.instant) {
                    continue;
                }
                let Some((pid, written)) = file.good().map(|good| (good.reading.pid, good.written)) else {
                    continue;
                };
                if let Some(found) = file.owner.update(pid, written, now.instant, &mut search) {
                    match found {
                        Ok(Owned::Ended) => self.skipped.add("writer_ended"),
                        Ok(Owned::Several(candidates)) => {
                            tracing::debug!(file = %name.display(), pid, candidates, "the file's writer is ambiguous");
                        }
                        Ok(_) => {}
                        Err(error) => {
                            if !std::mem::replace(&mut self.warned.hidden, true) {
                                tracing::warn!(
                                    %error,
                                    "cannot look into processes: Hailo readings are shown without process, container \
                                     and pod, and by the age of their file alone; run the agent as root with \
                                     CAP_SYS_PTRACE and the host's PID namespace"
                                );
                            }
                        }
                    }
                }
                let process = match file.owner.owned {
                    Owned::By(process) => Some(process),
                    Owned::Several(_) => {
                        self.count_ambiguous
                            .add(1, &[telemetry::label(key::AGENT_SAMPLER, NAME)]);
                        None
                    }
                    Owned::Hidden => None,
                    Owned::Unsought | Owned::Ended => continue,
                };
                live.push(Live { file, process });
            }
            searches = search.left;
        }
        self.points.build(&self.devices, live, now.wall)
    }

    /// Until when nothing has to be done unless something happens.
    fn next(&self, until: Instant) -> Instant {
        let all = self.configured.iter().chain(self.namespaces.values());
        all.filter_map(Monitored::due).fold(until, Instant::min)
    }
}

impl super::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: PERIOD,
            deadline: Duration::from_secs(2),
            instruments: &INSTRUMENTS,
        }
    }

    fn wait(&mut self, until: Instant) {
        loop {
            let rested = self.looked_at.map_or(until, |last| (last + REST).min(until));
            std::thread::sleep(rested.saturating_duration_since(Instant::now()));
            let next = self.next(until);
            let Some(watch) = &self.watch else {
                return std::thread::sleep(next.saturating_duration_since(Instant::now()));
            };
            if let Err(error) = watch.poll(next) {
                tracing::debug!(%error, "cannot wait for events");
                return std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            self.drain();
            if Instant::now() >= next || self.watch.as_ref().is_none_or(|watch| !watch.events.is_empty()) {
                return;
            }
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        match self.run(Moment::now(), out) {
            Ok(true) => Outcome::Sampled,
            Ok(false) => Outcome::NothingHere(explain::in_short(&self.roots)),
            Err(error) => Outcome::Retry(error.into()),
        }
    }
}

fn unopened(error: &io::Error) -> &'static str {
    match rustix::io::Errno::from_io_error(error) {
        Some(rustix::io::Errno::LOOP) => {
            " (it is a symbolic link, which anybody could have made: set hailo.dir to its target)"
        }
        Some(rustix::io::Errno::NOTDIR) => " (it is no directory)",
        Some(rustix::io::Errno::ACCESS) => " (the agent may not read it: run it as root or as the files' owner)",
        _ => "",
    }
}
