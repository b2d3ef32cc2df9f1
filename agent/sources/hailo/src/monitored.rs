//! One monitor directory, updated from inotify events and, where there are none, by scanning it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use inotify::{WatchDescriptor, Watches};

use super::budget::Budget;
use super::directory::{Directory, MAX_FILES};
use super::file_name::is_monitor_file;
use super::files::Files;
use super::hidden::Hidden;
use super::listing::Listing;
use super::living::Living;
use super::skipped::Skipped;
use super::unshown::Reported;
use super::watch;
use accelscope_core::host::descriptors::cpu_time;
use accelscope_core::metric::{Moment, Timestamp};

/// Time between two scans of a directory with events, in case one is lost.
const WATCHED: Duration = Duration::from_secs(5);
/// Time between two scans of a directory without events.
const UNWATCHED: Duration = Duration::from_secs(1);

/// Time between two scans of a directory that is filled with more files than are looked at.
const CROWDED: Duration = Duration::from_secs(15);

/// Time between two scans as a multiple of the CPU time of the last listing, and the longest that it makes it: who can make files
/// here decides what it takes.
const LIST_REST: u32 = 200;
const LATEST_LIST: Duration = Duration::from_secs(30);

/// Most surplus files of a directory without events that is scanned as often as others.
const MAX_UNWATCHED: usize = 16 * MAX_FILES;

/// Most events of a directory in a second: those of 256 writers with an interval of 250 ms each.
const STORM: usize = 4096;
/// How long a directory with more is not watched, and one that could not be.
const CALM: Duration = Duration::from_secs(30);
const WATCH_AGAIN: Duration = Duration::from_mins(1);

/// A file that a scan finds modified less than this ago may still be being written.
pub(super) const WRITE_TIME: Duration = Duration::from_millis(20);
/// How often such a file is looked at again before it is read all the same.
pub(super) const ATTEMPTS: u32 = 4;

/// A directory and the state of its files.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) directory: Directory,
    /// Its path, for messages.
    pub(super) place: PathBuf,
    /// Whether it is the directory of the host, which all its users have.
    pub(super) is_shared: bool,
    pub(super) watch: Option<WatchDescriptor>,
    /// When a watch may be added, where there is none, and why it could not be.
    watch_at: Option<Instant>,
    pub(super) watch_error: Option<io::Error>,
    storm: Storm,
    pub(super) state: State,
    pub(super) files: Files,
    /// What has the name of a monitor file and is no file, with its type.
    pub(super) others: Vec<(OsString, &'static str)>,
    /// What was reported of files that are not shown.
    pub(super) reported: Reported,
    /// The writers of files that cannot be used.
    pub(super) hidden: Hidden,
    /// Names with an event since the last update.
    changed: BTreeSet<OsString>,
    /// Changed files that the last scan found before their event, which may still arrive.
    without_event: BTreeSet<OsString>,
    /// Files that were left out because they were just being written, and whether that may have been before the watch.
    young: BTreeMap<OsString, bool>,
    /// When these are looked at again, and how often they have been since the last scan.
    recheck_at: Instant,
    rechecks: u32,
    events: Events,
    scan_at: Option<Instant>,
    /// When files are looked at whose users had read too much.
    retry_at: Instant,
    warned_of_crowd: bool,
}

/// How it was when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether it was removed.
    pub(super) is_deleted: bool,
    /// Whether the attempt to list it failed.
    pub(super) is_unlisted: bool,
}

/// Events of one directory in the second since its first.
#[derive(Debug, Default)]
struct Storm {
    since: Option<Instant>,
    events: usize,
}

impl Storm {
    fn breaks_out(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now >= since + Duration::from_secs(1)) {
            *self = Self {
                since: Some(now),
                events: 0,
            };
        }
        self.events += 1;
        self.events > STORM
    }
}

/// Which changes give inotify events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Events {
    All,
    /// Those by other machines give none: a network file system.
    OfThisMachine,
    /// A change without one was observed.
    Missed,
}

impl Monitored {
    pub(super) fn new(directory: Directory, place: PathBuf, is_shared: bool, budget: Arc<Mutex<Budget>>) -> Self {
        let is_remote = directory.is_remote();
        Self {
            events: if is_remote { Events::OfThisMachine } else { Events::All },
            directory,
            place,
            is_shared,
            watch: None,
            watch_at: None,
            watch_error: None,
            storm: Storm::default(),
            state: State::default(),
            files: Files::new(budget),
            others: Vec::new(),
            reported: Reported::default(),
            hidden: Hidden::default(),
            changed: BTreeSet::new(),
            without_event: BTreeSet::new(),
            young: BTreeMap::new(),
            recheck_at: Instant::now(),
            rechecks: 0,
            warned_of_crowd: false,
            scan_at: None,
            retry_at: Instant::now(),
        }
    }

    /// Adds an inotify watch, unless there is one or there is to be none now. The next update scans, because changes before it
    /// gave no event.
    pub(super) fn watch_with(&mut self, watches: &Watches, now: Instant) {
        if !self.wants_watch(now) {
            return;
        }
        match watch::add(watches, self.directory.own_path()) {
            Ok(descriptor) => self.watch = Some(descriptor),
            Err(error) => {
                self.watch_at = Some(now + WATCH_AGAIN);
                self.watch_error = Some(error);
            }
        }
        self.scan_at = None;
    }

    /// Lets the next update add one.
    pub(super) const fn watch_again(&mut self, now: Instant) {
        self.watch_at = Some(now);
    }

    fn wants_watch(&self, now: Instant) -> bool {
        self.watch.is_none() && self.watch_at.is_none_or(|at| now >= at)
    }

    /// Whether an update would do anything.
    pub(super) fn has_work(&self, now: Instant, can_watch: bool) -> bool {
        !self.changed.is_empty() || self.due().is_none_or(|due| now >= due) || (can_watch && self.wants_watch(now))
    }

    /// Counts an event. Whether there were so many in the last second that the directory is better looked at every second, for
    /// a while: its events would delay those of others.
    pub(super) fn is_storm(&mut self, now: Instant) -> bool {
        if !self.storm.breaks_out(now) {
            return false;
        }
        tracing::info!(
            dir = %self.place.display(),
            "more than {STORM} changes of monitor files in a second: the directory is looked at every second for a while"
        );
        self.watch_at = Some(now + CALM);
        self.scan_at = self.scan_at.map(|at| at.min(now + UNWATCHED));
        true
    }

    /// Records an event for this name.
    pub(super) fn on_event(&mut self, name: OsString) {
        if is_monitor_file(&name) {
            self.without_event.remove(&name);
            self.young.remove(&name);
            // One event shows that there are events, whatever was concluded from the lack of another.
            if self.events == Events::Missed {
                self.events = Events::All;
            }
            self.changed.insert(name);
        }
    }

    fn lacks_events(&self) -> bool {
        self.events != Events::All
    }

    /// Records that events were lost.
    pub(super) fn rescan(&mut self) {
        self.without_event.clear();
        self.young.clear();
        self.scan_at = None;
    }

    /// Time of the next look.
    pub(super) fn due(&self) -> Option<Instant> {
        let recheck_at = self.is_incomplete().then_some(self.recheck_at);
        let retry_at = self.files.has_deferred().then_some(self.retry_at);
        let sooner = recheck_at.into_iter().chain(retry_at).min();
        self.scan_at.map(|at| sooner.map_or(at, |sooner| sooner.min(at)))
    }

    /// Whether files were left out that may still be being written.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.young.is_empty()
    }

    /// Reads the changed files. Returns whether any value changed.
    pub(super) fn update(&mut self, now: Moment, living: &mut Living, skipped: &mut Skipped) -> io::Result<bool> {
        let mut changed = false;
        let mut names = std::mem::take(&mut self.changed);
        if now.instant >= self.retry_at {
            self.retry_at = now.instant + UNWATCHED;
            names.append(&mut self.files.take_deferred());
        }
        let files = self.files.used().0;
        for name in names {
            changed |= self.files.refresh(&self.directory, &name, now, skipped);
        }
        if self.files.used().0 < files {
            // Perhaps with their directory, whose removal gives no event while it is held open.
            self.state.is_deleted = self.directory.is_deleted();
        }
        if self.scan_at.is_none_or(|at| now.instant >= at) {
            changed |= self.scan(now, living, skipped)?;
        } else if self.is_incomplete() && now.instant >= self.recheck_at {
            changed |= self.recheck(now, skipped);
        }
        changed |= self.files.keep_limits();
        Ok(changed)
    }

    /// Looks again at the files that were just being written: a whole scan is too much for that in a crowd.
    fn recheck(&mut self, now: Moment, skipped: &mut Skipped) -> bool {
        self.rechecks += 1;
        let young = std::mem::take(&mut self.young);
        let changed = self.look_at(young, self.warned_of_crowd, now, skipped);
        if !self.without_event.is_empty() {
            let soon = now.instant + UNWATCHED;
            self.scan_at = self.scan_at.map(|at| at.min(soon));
        }
        changed
    }

    fn scan(&mut self, now: Moment, living: &mut Living, skipped: &mut Skipped) -> io::Result<bool> {
        let first = self.scan_at.is_none();
        self.state.is_deleted = self.directory.is_deleted();
        self.check_events();
        self.scan_at = Some(now.instant + UNWATCHED);
        let begun = cpu_time();
        let listing = Listing::of(&self.directory, living, self.files.limits.files);
        let took = cpu_time().saturating_sub(begun);
        self.state.is_unlisted = listing.is_err();
        let Listing {
            names,
            others,
            more: left_out,
        } = listing.map_err(|error| {
            let place = self.place.display();
            let remedy = "run the agent as root, or as a user that may list the directory";
            io::Error::new(error.kind(), format!("{place} cannot be listed: {error}; {remedy}"))
        })?;
        self.others = others;
        for _ in 0..left_out {
            skipped.add("too_many_files");
        }
        // Others may be looked at now than before, although nothing has changed.
        let is_crowded = left_out > 0 || self.warned_of_crowd;
        self.warn_of_crowd(left_out);
        let directory = &self.directory;
        // A file with an event may be beyond the entries that are listed.
        let mut changed = self.files.retain(&names, |name, file| {
            left_out > 0 && file.is_fresh(None, now.instant) && directory.stamp(name).is_ok()
        });
        let young = std::mem::take(&mut self.young);
        let names = names.into_iter().map(|name| {
            let was_before_watch = first || young.get(&name).copied().unwrap_or_default();
            (name, was_before_watch)
        });
        self.rechecks = 0;
        changed |= self.look_at(names, is_crowded, now, skipped);
        let scans_often = self.lacks_events() || self.watch.is_none() || !self.without_event.is_empty();
        let rest = match left_out {
            0 if !scans_often => WATCHED,
            0..=MAX_UNWATCHED if scans_often => UNWATCHED,
            _ => CROWDED,
        };
        self.scan_at = Some(now.instant + rest.max((took * LIST_REST).min(LATEST_LIST)));
        Ok(changed)
    }

    /// Reads those of the files that have changed. With each name: whether its write may have been before the watch.
    fn look_at(
        &mut self,
        names: impl IntoIterator<Item = (OsString, bool)>,
        is_crowded: bool,
        now: Moment,
        skipped: &mut Skipped,
    ) -> bool {
        let (directory, files) = (&self.directory, &mut self.files);
        let mut changed = false;
        for (name, was_before_watch) in names {
            let stamp = match directory.stamp(&name) {
                Ok(stamp) => stamp,
                Err(error) => {
                    files.note(&name, &error);
                    continue;
                }
            };
            if files.has_seen(&name, stamp) {
                continue;
            }
            let is_young = if stamp.modified <= now.wall {
                now.wall.since(stamp.modified) < WRITE_TIME
            } else {
                // Since this run has begun, unless its clock is ahead.
                stamp.modified <= Timestamp::now()
            };
            if is_young && self.rechecks < ATTEMPTS {
                self.young.insert(name, was_before_watch);
                continue;
            }
            if files.is_deferred(&name) {
                continue;
            }
            if !was_before_watch && !is_young && !is_crowded && !files.has_refused(&name, stamp) {
                self.without_event.insert(name.clone());
            }
            changed |= files.refresh(directory, &name, now, skipped);
            // It is read again when that write is over, whose event may have come before the watch.
            if files.is_changing(&name) && self.rechecks < ATTEMPTS {
                self.without_event.remove(&name);
                self.young.insert(name, was_before_watch);
            }
        }
        self.recheck_at = now.instant + WRITE_TIME * 2;
        changed
    }

    /// If a change since the last scan caused no event, concludes that the directory has none.
    fn check_events(&mut self) {
        let without_event = std::mem::take(&mut self.without_event);
        if let Some(name) = without_event
            .first()
            .filter(|_| !self.lacks_events() && self.watch.is_some())
        {
            tracing::info!(
                file = %name.display(),
                "a monitor file changed without an event: its directory is looked at every second from now on"
            );
            self.events = Events::Missed;
        }
    }

    fn warn_of_crowd(&mut self, left_out: usize) {
        if left_out > 0 && !std::mem::replace(&mut self.warned_of_crowd, true) {
            tracing::warn!(
                inode = self.directory.id.1,
                dir = %self.place.display(),
                "a directory has more monitor files than the {MAX_FILES} that are looked at, of which each user of the \
                 machine has a share and living processes are the first: remove what killed applications left behind, \
                 such as with `find /tmp/hmon_files -type f -mmin +5 -delete`"
            );
        }
        self.warned_of_crowd &= left_out > 0;
    }
}

/// Warns once of a watch that could not be added.
pub(super) fn warn_once(warned: &mut bool, error: &io::Error) {
    if !std::mem::replace(warned, true) {
        let remedy = watch::remedy(error);
        tracing::warn!(%error, remedy, "cannot watch for monitor files: they are looked for every second instead");
    }
}

#[cfg(test)]
mod tests;
