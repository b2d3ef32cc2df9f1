//! The configured monitor directory: found, lost, replaced.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;
use rustix::io::Errno;

use super::super::probe::{self, Probe};
use super::super::slot::{self, Slot};
use super::super::watch::{Event, Watch};
use super::{LOOK, Sources};
use accelscope_core::host::HostRoots;

/// How long a removed directory keeps its name before it must be the source of a bind mount.
const DELETED_LASTS: Duration = Duration::from_secs(2);

/// Time between two looks where events tell of changes: only a mount in its place, or in that of a directory above it, has none.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Time after which another is looked for in the place of the configured directory, which does not answer.
const ANOTHER: Duration = Duration::from_secs(5);

impl Sources {
    /// Opens the configured directory where it is another than the one that is held, and gives up what is gone.
    pub(super) fn find_configured(&mut self, roots: &HostRoots, dir: &Path, now: Instant) -> io::Result<()> {
        let failed = |error: io::Error| {
            let what = format!("hailo.dir {}: {error}{}", dir.display(), remedy(&error));
            io::Error::new(error.kind(), what)
        };
        let here = match self.directories.get(&None) {
            // Another may have been mounted in its place.
            Some(Slot::Away(away)) if away.call.age() < ANOTHER => return Ok(()),
            slot => slot.and_then(Slot::here),
        };
        let held = here.map(|held| held.directory.id);
        let is_gone = here.is_some_and(|held| held.state.is_deleted);
        let mut events = self.watch.iter().flat_map(|watch| &watch.events);
        let has_event =
            events.any(|event| !matches!(event, Event::Name(from, _) if self.parent.as_ref() != Some(from)));
        self.forget_lost_parent();
        let is_known = held.is_some() || self.parent.is_some();
        if is_known && self.probe_at.is_some_and(|at| now < at) && self.probe.is_none() && !has_event && !is_gone {
            return Ok(());
        }
        let here = self.directories.get(&None).and_then(Slot::here);
        let is_watched = here.is_none_or(|here| here.watch.is_some()) && is_known;
        self.probe_at = Some(now + if is_watched { LOOK_AGAIN } else { LOOK });
        let is_pending = self.probe.is_some();
        let call = if let Some(call) = self.probe.take() {
            call
        } else {
            let (roots, dir) = (roots.clone(), dir.to_owned());
            let watches = self
                .watch
                .as_ref()
                .filter(|_| self.parent.is_none())
                .map(Watch::watches);
            self.callers
                .start(move || probe::look_for(&roots, &dir, held, watches.as_ref()))?
        };
        let until = if is_pending {
            Instant::now()
        } else {
            Instant::now() + self.patience
        };
        let Some(found) = call.wait(until) else {
            self.probe = Some(call);
            return Err(slot::overdue(dir, &self.hung));
        };
        if matches!(found, Probe::Same) {
            return Ok(());
        }
        if !matches!(found, Probe::Closed(_))
            && let Some(Slot::Here(lost)) = self.directories.remove(&None)
        {
            self.forget(*lost);
        }
        match found {
            Probe::Absent(parent) => {
                self.deleted_since = None;
                // Without a watch the directory is found at the next period.
                if parent.is_some() {
                    // What appears before it is watched for has no event.
                    self.probe_at = Some(now + LOOK);
                }
                self.parent = self.parent.take().or(parent);
                Ok(())
            }
            Probe::Deleted => {
                // A directory that is being removed keeps its name for a moment.
                let since = *self.deleted_since.get_or_insert(now);
                let lasts = now.saturating_duration_since(since) >= DELETED_LASTS;
                if lasts && !std::mem::replace(&mut self.warned.deleted, true) {
                    tracing::warn!(
                        dir = %dir.display(),
                        "the mounted directory was removed on the host, and its mount shows it empty for ever: mount the \
                         directory above it instead"
                    );
                }
                Ok(())
            }
            Probe::Opened(directory) => {
                if let (Some(parent), Some(watch)) = (self.parent.take(), &self.watch) {
                    watch.remove(parent);
                }
                self.warned.deleted = false;
                self.deleted_since = None;
                self.directories
                    .retain(|_, slot| slot.here().is_none_or(|here| here.directory.id != directory.id));
                self.monitor(None, directory, dir.to_owned());
                Ok(())
            }
            Probe::Closed(error) => Err(failed(error)),
            Probe::Same => Ok(()),
        }
    }

    /// Gives up the watch of a directory that was removed or has another name.
    fn forget_lost_parent(&mut self) {
        let Some(watch) = &self.watch else { return };
        let is_lost = |parent: &mut WatchDescriptor| {
            let mut events = watch.events.iter();
            events.any(|event| matches!(event, Event::Lost(from) if from == parent))
        };
        if let Some(parent) = self.parent.take_if(is_lost) {
            watch.remove(parent);
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::LOOP) => " (a symbolic link, which anybody could have made: set hailo.dir to its target)",
        Some(Errno::NOTDIR) => " (no directory: set hailo.dir to the one in which HailoRT writes)",
        Some(Errno::ACCESS) => " (run the agent as root or as the owner of the files)",
        _ => "",
    }
}
