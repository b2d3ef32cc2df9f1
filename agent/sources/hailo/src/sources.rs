//! The monitor directories: the configured one, and those in the mount namespaces of processes that hold a device.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;
use rustix::io::Errno;

use super::device::Device;
use super::directory::{self, Directory};
use super::discover::{Discovery, View};
use super::monitored::{Monitored, warn_once};
use super::settings::Settings;
use super::watch::{Event, Watch};
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::ProcessKey;

/// Least time from an event to its read: a write causes several, and a file is decoded at most that often.
const REST: Duration = Duration::from_millis(50);
/// Time before another attempt to create an inotify instance.
const WATCH_AGAIN: Duration = Duration::from_mins(1);
/// How long a removed directory keeps its name before it must be the source of a bind mount.
const DELETED_LASTS: Duration = Duration::from_secs(2);
/// Most mount namespaces that are searched.
const MAX_VIEWS: usize = 128;

/// All directories, and the inotify instance that watches them.
#[derive(Debug, Default)]
pub(super) struct Sources {
    watch: Option<Watch>,
    watch_at: Option<Instant>,
    /// The watch for the configured directory to appear.
    parent: Option<WatchDescriptor>,
    /// By view; the configured one has none.
    directories: BTreeMap<Option<View>, Monitored>,
    discovery: Discovery,
    /// Whether the configured directory, or one in the view of a device's user, is there and could not be opened.
    is_any_closed: bool,
    warned_watch: bool,
    warned_deleted: bool,
    deleted_since: Option<Instant>,
}

impl Sources {
    pub(super) fn all(&self) -> impl Iterator<Item = &Monitored> {
        self.directories.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Monitored> {
        self.directories.values_mut()
    }

    /// Whether each directory that is there could be opened.
    pub(super) const fn are_open(&self) -> bool {
        !self.is_any_closed
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
        let configured = self.find_configured(roots, &settings.dir, now);
        self.is_any_closed = configured.is_err();
        if settings.discover {
            self.find_namespaces(roots, devices, now);
        }
        self.drain(&settings.dir);
        self.dispatch();
        configured
    }

    fn open_watch(&mut self, now: Instant) {
        if self.watch.is_some() || self.watch_at.is_some_and(|last| now < last + WATCH_AGAIN) {
            return;
        }
        self.watch_at = Some(now);
        match Watch::new() {
            Ok(watch) => {
                for monitored in self.directories.values_mut() {
                    monitored.watch_with(&watch, &mut self.warned_watch);
                }
                self.watch = Some(watch);
            }
            Err(error) => warn_once(&mut self.warned_watch, &error),
        }
    }

    fn find_configured(&mut self, roots: &HostRoots, dir: &Path, now: Instant) -> io::Result<()> {
        let failed = |error: io::Error| {
            let what = format!("hailo.dir {}: {error}{}", dir.display(), remedy(&error));
            io::Error::new(error.kind(), what)
        };
        let there = match std::fs::symlink_metadata(roots.path(dir)) {
            Ok(metadata) => Some(directory::identity(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(failed(error)),
            Err(_) => None,
        };
        let held = self.directories.get(&None).filter(|held| !held.directory.is_deleted());
        if held.is_some_and(|held| Some(held.directory.id) == there) {
            return Ok(());
        }
        if let Some(lost) = self.directories.remove(&None) {
            self.forget(lost);
        }
        if there.is_none() {
            self.deleted_since = None;
            self.watch_parent(roots, dir);
            return Ok(());
        }
        match Directory::configured(roots, dir) {
            Ok(directory) if directory.is_deleted() => {
                // A directory that is being removed keeps its name for a moment.
                let since = *self.deleted_since.get_or_insert(now);
                let lasts = now.saturating_duration_since(since) >= DELETED_LASTS;
                if lasts && !std::mem::replace(&mut self.warned_deleted, true) {
                    tracing::warn!(
                        dir = %dir.display(),
                        "the mounted directory was removed on the host, and its mount shows it empty for ever: mount the \
                         directory above it instead"
                    );
                }
                Ok(())
            }
            Ok(directory) => {
                if let (Some(parent), Some(watch)) = (self.parent.take(), &self.watch) {
                    watch.remove(parent);
                }
                self.warned_deleted = false;
                self.deleted_since = None;
                self.directories
                    .retain(|_, monitored| monitored.directory.id != directory.id);
                self.monitor(None, directory, dir.to_owned());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn watch_parent(&mut self, roots: &HostRoots, dir: &Path) {
        if self.parent.is_none()
            && let (Some(watch), Some(parent)) = (&self.watch, dir.parent())
        {
            // Without a watch the directory is found at the next period.
            self.parent = watch.add_parent(roots.path(parent)).ok();
        }
    }

    fn find_namespaces(&mut self, roots: &HostRoots, devices: &BTreeMap<String, Device>, now: Instant) {
        let processes = &Processes::new(roots);
        if let Err(error) = self.discovery.update(roots, processes, devices, now) {
            tracing::debug!(%error, "cannot look for processes that hold a Hailo device");
        }
        let views = self.discovery.views();
        // An open directory would keep the namespace's mounts alive.
        let lost = self.directories.extract_if(.., |view, held| {
            view.is_some_and(|view| !views.contains_key(&view) || held.directory.is_deleted())
        });
        for (_, lost) in lost.collect::<Vec<_>>() {
            self.forget(lost);
        }
        for (view, holders) in views.into_iter().take(MAX_VIEWS) {
            if self.directories.contains_key(&Some(view)) {
                continue;
            }
            let opened = open_in_view(processes, &holders);
            self.is_any_closed |= opened.is_err();
            if let Ok(Some((directory, place))) = opened
                && self.all().all(|known| known.directory.id != directory.id)
            {
                self.monitor(Some(view), directory, place);
            }
        }
    }

    fn monitor(&mut self, view: Option<View>, directory: Directory, place: PathBuf) {
        let mut monitored = Monitored::new(directory, place, self.watch.as_ref(), &mut self.warned_watch);
        monitored.is_shared = view.is_none();
        self.directories.insert(view, monitored);
    }

    fn forget(&self, lost: Monitored) {
        if let (Some(watch), Some(descriptor)) = (&self.watch, lost.watch) {
            watch.remove(descriptor);
        }
    }

    fn dispatch(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        for event in watch.events.drain(..) {
            let mut all = self.directories.values_mut();
            match event {
                Event::Name(from, name) => {
                    if let Some(monitored) = all.find(|monitored| monitored.watch.as_ref() == Some(&from)) {
                        monitored.on_event(name);
                    }
                }
                // The next update checks the directory itself.
                Event::Lost(_) => {}
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

    /// How long changes may be collected without missing a write: half of the shortest interval between two.
    pub(super) fn longest_rest(&self, now: Instant) -> Duration {
        let files = self.all().flat_map(|monitored| monitored.files.fresh(None, now));
        let shortest = files.map(|(_, file)| file.shortest_interval()).min();
        shortest.unwrap_or_default() / 2
    }

    /// Blocks until a monitor file or its directory changes, at most until `until`. Nothing is emitted before `soonest`:
    /// until then the changes of several files are collected.
    pub(super) fn wait(&mut self, dir: &Path, until: Instant, soonest: Option<Instant>) {
        let sleep = |until: Instant| std::thread::sleep(until.saturating_duration_since(Instant::now()));
        let until = self.all().filter_map(Monitored::due).fold(until, Instant::min);
        loop {
            let Some(watch) = &self.watch else {
                return sleep(until);
            };
            if let Err(error) = watch.poll(until) {
                tracing::debug!(%error, "cannot wait for events");
                return sleep(until);
            }
            let now = Instant::now();
            let rest = soonest.map_or(now, |soonest| soonest.min(now + self.longest_rest(now)));
            sleep(rest.max(now + REST).min(until));
            self.drain(dir);
            if Instant::now() >= until || self.watch.as_ref().is_none_or(|watch| !watch.events.is_empty()) {
                return;
            }
        }
    }
}

/// The directory in a view, if there is one.
fn open_in_view(processes: &Processes, holders: &[ProcessKey]) -> io::Result<Option<(Directory, PathBuf)>> {
    let mut failed = None;
    for holder in holders {
        let root = processes.path(holder.pid, "root");
        match Directory::in_namespace(&root) {
            Ok(directory) if directory.is_deleted() => {}
            Ok(directory) => return Ok(Some((directory, root.join(directory::IN_ROOT)))),
            Err(error) => {
                tracing::trace!(pid = holder.pid, %error, "no monitor files in the view of a device's user");
                // Without the directory, or after the end of the process, there are none.
                let is_none = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                failed = failed.or(Some(error).filter(|_| !is_none));
            }
        }
    }
    failed.map_or(Ok(None), Err)
}

fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::LOOP) => " (a symbolic link, which anybody could have made: set hailo.dir to its target)",
        Some(Errno::NOTDIR) => " (no directory: set hailo.dir to the one in which HailoRT writes)",
        Some(Errno::ACCESS) => " (run the agent as root or as the owner of the files)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_view_without_the_directory_has_no_files_and_one_that_cannot_be_opened_may() {
        let host = tempfile::tempdir().unwrap();
        let processes = Processes::new(&HostRoots::new(host.path()));
        let holder = |pid| ProcessKey { pid, start_ticks: 1 };
        let root = |pid: u32| host.path().join(format!("proc/{pid}/root"));
        for (pid, directory) in [(7, "tmp/hmon_files"), (8, "tmp"), (9, "real/hmon_files")] {
            std::fs::create_dir_all(root(pid).join(directory)).unwrap();
        }
        symlink("real", root(9).join("tmp")).unwrap();
        let opened = |pids: &[u32]| {
            let holders: Vec<_> = pids.iter().copied().map(holder).collect();
            open_in_view(&processes, &holders).map(|found| found.map(|(_, place)| place))
        };
        let found = root(7).join("tmp/hmon_files");
        assert_eq!(opened(&[7]).unwrap(), Some(found.clone()));
        assert_eq!(opened(&[8, 10]).unwrap(), None);
        assert!(opened(&[9, 8]).is_err());
        assert_eq!(opened(&[9, 7]).unwrap(), Some(found));
    }
}
