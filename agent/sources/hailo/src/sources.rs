//! The monitor directories: the configured one, and those in the mount namespaces of processes that hold a device.
//!
//! A directory may lie on a file system that does not answer. What asks one of other machines or processes runs on a thread of
//! its own, which has the directory meanwhile; the sampler goes on with the others.

mod configured;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;

use super::budget::Budget;
use super::device::Device;
use super::directory::{self, Directory};
use super::discover::{Discovery, View};
use super::living::Living;
use super::monitored::{Monitored, warn_once};
use super::probe::{self, Probe};
use super::settings::Settings;
use super::skipped::Skipped;
use super::slot::{Away, Read, Returned, Slot};
use super::watch::{Event, Watch};
use accelscope_core::LogLimiter;
use accelscope_core::host::HostRoots;
use accelscope_core::host::callers::{Call, Callers};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::Moment;

/// Least time from an event to its read: a write causes several, and a file is decoded at most that often.
const REST: Duration = Duration::from_millis(50);
/// Time before another attempt to create an inotify instance.
const WATCH_AGAIN: Duration = Duration::from_mins(1);
/// Most mount namespaces that are searched.
const MAX_VIEWS: usize = 128;
/// Time between two looks for the configured directory where nothing tells that it appears, and for directories in views
/// without one.
const LOOK: Duration = Duration::from_secs(1);
/// Time for all directories together to answer in one run, in the first one, which may be the only one, and for each before
/// the next is asked.
const PATIENCE: Duration = Duration::from_millis(1500);
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(5);

/// All directories, and the inotify instance that watches them.
#[derive(Debug)]
pub(super) struct Sources {
    watch: Option<Watch>,
    watch_at: Option<Instant>,
    /// The watch for the configured directory to appear.
    parent: Option<WatchDescriptor>,
    /// By view; the configured one has none.
    directories: BTreeMap<Option<View>, Slot>,
    discovery: Discovery,
    /// Threads that ask them: at most one for each directory, and one that looks for the configured one.
    callers: Callers,
    probe: Option<Call<Probe>>,
    probe_at: Option<Instant>,
    views_at: Option<Instant>,
    budget: Arc<Mutex<Budget>>,
    /// Whether the configured directory, or one in the view of a device's user, is there and could not be opened.
    is_configured_closed: bool,
    is_view_closed: bool,
    warned: Warned,
    deleted_since: Option<Instant>,
    hung: LogLimiter,
    patience: Duration,
}

/// What was warned of.
#[derive(Debug, Default)]
struct Warned {
    /// There is no watch.
    watch: bool,
    /// The directory of a mount was removed.
    deleted: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            watch: None,
            watch_at: None,
            parent: None,
            directories: BTreeMap::new(),
            discovery: Discovery::default(),
            callers: Callers::new("hailo-files", MAX_VIEWS + 2),
            probe: None,
            probe_at: None,
            views_at: None,
            budget: Arc::default(),
            is_configured_closed: false,
            is_view_closed: false,
            warned: Warned::default(),
            deleted_since: None,
            hung: LogLimiter::default(),
            patience: FIRST_PATIENCE,
        }
    }
}

impl Sources {
    /// Those that answer.
    pub(super) fn all(&self) -> impl Iterator<Item = &Monitored> {
        self.directories.values().filter_map(Slot::here)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Monitored> {
        self.directories.values_mut().filter_map(Slot::here_mut)
    }

    /// Whether each directory that is there could be opened, and answers.
    pub(super) fn are_open(&self) -> bool {
        !(self.is_configured_closed || self.is_view_closed)
            && self.directories.values().all(|slot| slot.here().is_some())
    }

    /// Opens new directories, closes removed ones, and passes on events of their files.
    pub(super) fn update(
        &mut self,
        roots: &HostRoots,
        settings: &Settings,
        devices: &BTreeMap<String, Device>,
        now: Instant,
    ) -> io::Result<()> {
        self.open_watch(now);
        self.drain(&settings.dir);
        let configured = self.find_configured(roots, &settings.dir, now);
        self.is_configured_closed = configured.is_err();
        if settings.discover {
            self.find_namespaces(roots, devices, now);
        }
        self.dispatch(now);
        configured
    }

    /// Waits no longer than usual from now on.
    pub(super) const fn has_begun(&mut self) {
        self.patience = PATIENCE;
    }

    /// Reads the changed files of all directories. Returns whether any value changed, and keeps the first error.
    pub(super) fn read(
        &mut self,
        living: &Living,
        now: Moment,
        skipped: &mut Skipped,
        failed: &mut Option<io::Error>,
    ) -> bool {
        self.share_out();
        let watches = self.watch.as_ref().map(Watch::watches);
        let views: Vec<_> = self.directories.keys().copied().collect();
        let until = Instant::now() + self.patience;
        let mut changed = false;
        for view in &views {
            let has_work = |slot: &Slot| {
                slot.here()
                    .is_some_and(|here| here.has_work(now.instant, watches.is_some()))
            };
            if self.directories.get(view).is_some_and(has_work)
                && let Some(Slot::Here(monitored)) = self.directories.remove(view)
            {
                let read = Read {
                    monitored,
                    living: living.another(),
                    watches: watches.clone(),
                    now,
                };
                if read.monitored.directory.is_local() {
                    changed |= self.put_back(*view, read.run(), skipped, failed);
                    continue;
                }
                let slot = Away::start(&self.callers, read);
                let slot = slot.map_or_else(
                    |(error, here)| {
                        failed.get_or_insert(error);
                        Slot::Here(here)
                    },
                    Slot::Away,
                );
                self.directories.insert(*view, slot);
            }
            changed |= self.take_back(*view, Instant::now() + SOON, skipped, failed);
        }
        for view in views {
            changed |= self.take_back(view, until, skipped, failed);
        }
        changed
    }

    /// Takes a directory back whose call has returned by then. Of calls that already took long, none is waited for.
    fn take_back(
        &mut self,
        view: Option<View>,
        until: Instant,
        skipped: &mut Skipped,
        failed: &mut Option<io::Error>,
    ) -> bool {
        let Some(Slot::Away(away)) = self.directories.get_mut(&view) else {
            return false;
        };
        let is_late = away.call.age() >= self.patience;
        let Some(returned) = away.call.wait(if is_late { Instant::now() } else { until }) else {
            if is_late || away.call.age() >= self.patience {
                let error = away.overdue(&self.hung);
                if view.is_none() {
                    failed.get_or_insert(error);
                }
            }
            return false;
        };
        self.directories.remove(&view);
        self.put_back(view, returned, skipped, failed)
    }

    /// Takes what a call returned.
    fn put_back(
        &mut self,
        view: Option<View>,
        returned: Returned,
        skipped: &mut Skipped,
        failed: &mut Option<io::Error>,
    ) -> bool {
        match returned {
            Returned::Read {
                mut monitored,
                changed,
                skipped: more,
            } => {
                skipped.append(more);
                if let Some(error) = monitored.watch_error.take() {
                    warn_once(&mut self.warned.watch, &error);
                }
                self.directories.insert(view, Slot::Here(monitored));
                changed.unwrap_or_else(|error| {
                    failed.get_or_insert(error);
                    false
                })
            }
            Returned::Opened(opened) => {
                self.is_view_closed |= opened.is_err();
                if let Ok(Some((directory, place))) = opened
                    && self.all().all(|known| known.directory.id != directory.id)
                {
                    self.monitor(view, directory, place);
                }
                false
            }
        }
    }

    /// Gives each directory what the others leave, and at least an equal part.
    fn share_out(&mut self) {
        let used: Vec<_> = self.all().map(|here| here.files.used()).collect();
        let (files, elements) = used.iter().fold((0, 0), |sum, used| (sum.0 + used.0, sum.1 + used.1));
        let count = used.len();
        for (here, used) in self.all_mut().zip(used) {
            here.files.limit(files - used.0, elements - used.1, count);
        }
    }

    fn open_watch(&mut self, now: Instant) {
        if self.watch.is_some() || self.watch_at.is_some_and(|last| now < last + WATCH_AGAIN) {
            return;
        }
        self.watch_at = Some(now);
        match Watch::new() {
            Ok(watch) => {
                self.all_mut().for_each(|here| here.watch_again(now));
                self.watch = Some(watch);
            }
            Err(error) => warn_once(&mut self.warned.watch, &error),
        }
    }

    fn find_namespaces(&mut self, roots: &HostRoots, devices: &BTreeMap<String, Device>, now: Instant) {
        let processes = Processes::new(roots);
        if let Err(error) = self.discovery.update(roots, &processes, devices, now) {
            tracing::debug!(%error, "cannot look for processes that hold a Hailo device");
        }
        let views = self.discovery.views();
        // An open directory would keep the namespace's mounts alive.
        let lost = self.directories.extract_if(.., |view, slot| {
            view.is_some_and(|view| !views.contains_key(&view) || slot.here().is_some_and(|here| here.state.is_deleted))
        });
        for (_, lost) in lost.collect::<Vec<_>>() {
            if let Slot::Here(lost) = lost {
                self.forget(*lost);
            }
        }
        if self.views_at.is_some_and(|at| now < at) {
            return;
        }
        self.views_at = Some(now + LOOK);
        self.is_view_closed = false;
        for (view, holders) in views.into_iter().take(MAX_VIEWS) {
            let view = Some(view);
            if self.directories.contains_key(&view) {
                continue;
            }
            let (own, place) = (
                processes.clone(),
                processes.path(holders[0].pid, "root").join(directory::IN_ROOT),
            );
            let opened = self
                .callers
                .start(move || Returned::Opened(probe::open_in_view(&own, &holders)));
            if let Ok(call) = opened {
                self.directories.insert(view, Slot::Away(Away::new(call, place)));
                self.take_back(view, Instant::now() + SOON, &mut Skipped::default(), &mut None);
            }
        }
    }

    fn monitor(&mut self, view: Option<View>, directory: Directory, place: PathBuf) {
        let monitored = Monitored::new(directory, place, view.is_none(), Arc::clone(&self.budget));
        self.directories.insert(view, Slot::Here(Box::new(monitored)));
    }

    fn forget(&self, lost: Monitored) {
        if let (Some(watch), Some(descriptor)) = (&self.watch, lost.watch) {
            watch.remove(descriptor);
        }
    }

    fn dispatch(&mut self, now: Instant) {
        let Some(watch) = &mut self.watch else { return };
        for event in std::mem::take(&mut watch.events) {
            let mut all = self.directories.values_mut().filter_map(Slot::here_mut);
            match event {
                Event::Name(from, name) => {
                    if let Some(here) = all.find(|here| here.watch.as_ref() == Some(&from)) {
                        here.on_event(name);
                        if here.is_storm(now) {
                            here.watch = None;
                            watch.remove(from);
                        }
                    }
                }
                // This update has looked for the directory itself.
                Event::Lost(from) => {
                    if let Some(here) = all.find(|here| here.watch.as_ref() == Some(&from)) {
                        here.rescan();
                    }
                }
                Event::Overflow => all.for_each(Monitored::rescan),
            }
        }
    }

    fn drain(&mut self, dir: &Path) {
        let Some(watch) = &mut self.watch else { return };
        let name = dir.file_name();
        let wanted = |from: &WatchDescriptor, new: &OsStr| self.parent.as_ref() != Some(from) || Some(new) == name;
        if let Err(error) = watch.drain(wanted) {
            tracing::warn!(%error, "cannot read what changed: everything is looked at every second instead");
            self.watch = None;
            self.parent = None;
            self.all_mut().for_each(|monitored| monitored.watch = None);
        }
    }

    /// How long changes may be collected from `now` on without missing a write.
    fn longest_rest(&self, now: Instant) -> Duration {
        let files = self.all().flat_map(|monitored| monitored.files.fresh(None, now));
        let rests = files.map(|(_, file)| file.longest_rest(now));
        rests.min().unwrap_or_default()
    }

    /// Shortest time between two writes of a file; zero where none is known.
    pub(super) fn shortest_interval(&self, now: Instant) -> Duration {
        let files = self.all().flat_map(|monitored| monitored.files.fresh(None, now));
        let intervals = files.map(|(_, file)| file.shortest_interval());
        intervals.min().unwrap_or_default()
    }

    /// Blocks until a monitor file or its directory changes, at most until `until`. Nothing is emitted before `soonest`:
    /// until then the changes of several files are collected, without a look at each.
    pub(super) fn wait(&mut self, dir: &Path, until: Instant, soonest: Option<Instant>) {
        let until = self.all().filter_map(Monitored::due).fold(until, Instant::min);
        let sleep = |to: Instant| std::thread::sleep(to.min(until).saturating_duration_since(Instant::now()));
        loop {
            if self.watch.is_none() {
                return sleep(until);
            }
            let now = Instant::now();
            if let Some(soonest) = soonest {
                sleep(soonest.min(now + self.longest_rest(now)));
            }
            self.drain(dir);
            let Some(watch) = self.watch.as_ref().filter(|watch| watch.events.is_empty()) else {
                return;
            };
            if Instant::now() >= until {
                return;
            }
            if let Err(error) = watch.poll(until) {
                tracing::debug!(%error, "cannot wait for events");
                return sleep(until);
            }
            sleep(Instant::now() + REST);
        }
    }
}

#[cfg(test)]
mod tests;
