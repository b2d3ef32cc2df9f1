//! One monitor directory, updated from inotify events and, where there are none, by scanning it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;

use super::directory::{Directory, MAX_FILES};
use super::file_name::is_monitor_file;
use super::files::Files;
use super::skipped::Skipped;
use super::watch::{self, Watch};
use accelscope_core::metric::Moment;

/// Time between two scans of a directory with events, in case one is lost.
const WATCHED: Duration = Duration::from_secs(5);
/// Time between two scans of a directory without events.
const UNWATCHED: Duration = Duration::from_secs(1);

/// A file that a scan finds modified less than this ago may still be being written.
pub(super) const WRITE_TIME: Duration = Duration::from_millis(20);

/// A directory and the state of its files.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) directory: Directory,
    pub(super) watch: Option<WatchDescriptor>,
    pub(super) files: Files,
    /// Names with an event since the last update.
    changed: BTreeSet<OsString>,
    /// Changed files that the last scan found before their event, which may still arrive.
    without_event: BTreeSet<OsString>,
    /// Files that the first scan left out because they were just being written: that write may have been before the watch.
    before_watch: BTreeSet<OsString>,
    /// Whether changes give no events: so on a network file system, or as observed.
    lacks_events: bool,
    scan_at: Option<Instant>,
    /// Whether the last scan left out a file that may still be being written.
    pub(super) is_incomplete: bool,
    warned_of_crowd: bool,
}

impl Monitored {
    pub(super) fn new(directory: Directory, watch: Option<&Watch>, warned: &mut bool) -> Self {
        let mut new = Self {
            lacks_events: directory.is_remote(),
            directory,
            watch: None,
            files: Files::default(),
            changed: BTreeSet::new(),
            without_event: BTreeSet::new(),
            before_watch: BTreeSet::new(),
            is_incomplete: false,
            warned_of_crowd: false,
            scan_at: None,
        };
        if let Some(watch) = watch {
            new.watch_with(watch, warned);
        }
        new
    }

    /// Adds an inotify watch. The next update scans, because changes before it gave no event.
    pub(super) fn watch_with(&mut self, watch: &Watch, warned: &mut bool) {
        match watch.add(self.directory.own_path()) {
            Ok(descriptor) => self.watch = Some(descriptor),
            Err(error) => warn_once(warned, &error),
        }
        self.scan_at = None;
    }

    /// Records an event for this name.
    pub(super) fn on_event(&mut self, name: OsString) {
        if is_monitor_file(&name) {
            self.without_event.remove(&name);
            self.before_watch.remove(&name);
            // One event shows that there are events, whatever was concluded from the lack of another.
            self.lacks_events = self.directory.is_remote();
            self.changed.insert(name);
        }
    }

    /// Records that events were lost.
    pub(super) fn rescan(&mut self) {
        self.without_event.clear();
        self.before_watch.clear();
        self.scan_at = None;
    }

    /// Time of the next scan.
    pub(super) fn due(&self) -> Option<Instant> {
        self.scan_at
    }

    /// Reads the changed files. Returns whether any value changed.
    pub(super) fn update(&mut self, now: Moment, skipped: &mut Skipped) -> std::io::Result<bool> {
        let mut changed = false;
        for name in std::mem::take(&mut self.changed) {
            changed |= self.files.refresh(&self.directory, &name, now, skipped);
        }
        if self.scan_at.is_none_or(|at| now.instant >= at) {
            changed |= self.scan(now, skipped)?;
        }
        Ok(changed)
    }

    fn scan(&mut self, now: Moment, skipped: &mut Skipped) -> std::io::Result<bool> {
        let first = self.scan_at.is_none();
        self.check_events();
        self.scan_at = Some(now.instant + UNWATCHED);
        let (mut names, left_out) = self.directory.names()?;
        names.sort_unstable();
        for _ in 0..left_out {
            skipped.add("too_many_files");
        }
        self.warn_of_crowd(left_out);
        let (directory, files) = (&self.directory, &mut self.files);
        // A file with an event may be beyond the entries that are listed.
        let mut changed = files.retain(&names, |name, file| {
            left_out > 0 && file.is_fresh(None, now.instant) && directory.stamp(name).is_ok()
        });
        self.is_incomplete = false;
        let mut before_watch = std::mem::take(&mut self.before_watch);
        for name in names {
            let Ok(stamp) = directory.stamp(&name) else {
                continue;
            };
            if files.has_seen(&name, stamp) {
                continue;
            }
            let age = now.wall.since(stamp.modified);
            let was_before_watch = first || before_watch.remove(&name);
            if stamp.modified <= now.wall && age < WRITE_TIME {
                self.is_incomplete = true;
                if was_before_watch {
                    self.before_watch.insert(name);
                }
                continue;
            }
            if !was_before_watch && !files.has_refused(&name, stamp) {
                self.without_event.insert(name.clone());
            }
            changed |= files.refresh(directory, &name, now, skipped);
        }
        let scans_often = self.lacks_events || self.watch.is_none() || !self.without_event.is_empty();
        let rest = match (self.is_incomplete, scans_often) {
            (true, _) => WRITE_TIME * 2,
            (false, true) => UNWATCHED,
            (false, false) => WATCHED,
        };
        self.scan_at = Some(now.instant + rest);
        Ok(changed)
    }

    /// If a change since the last scan caused no event, concludes that the directory has none.
    fn check_events(&mut self) {
        let without_event = std::mem::take(&mut self.without_event);
        if let Some(name) = without_event
            .first()
            .filter(|_| !self.lacks_events && self.watch.is_some())
        {
            tracing::info!(
                file = %name.display(),
                "a monitor file changed without an event: its directory is looked at every second from now on"
            );
            self.lacks_events = true;
        }
    }

    fn warn_of_crowd(&mut self, left_out: usize) {
        if left_out > 0 && !std::mem::replace(&mut self.warned_of_crowd, true) {
            tracing::warn!(
                inode = self.directory.id.1,
                "a directory has more monitor files than the {MAX_FILES} that are looked at, those written last: remove \
                 what killed applications left behind, such as with `find /tmp/hmon_files -type f -mmin +5 -delete`"
            );
        }
        self.warned_of_crowd &= left_out > 0;
    }
}

/// Warns once of a watch that could not be added.
pub(super) fn warn_once(warned: &mut bool, error: &std::io::Error) {
    if !std::mem::replace(warned, true) {
        let remedy = watch::remedy(error);
        tracing::warn!(%error, remedy, "cannot watch for monitor files: they are looked for every second instead");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::path::Path;

    use prost::Message;

    use super::super::decode;
    use super::super::files::MAX_ELEMENTS;
    use super::super::state::File;
    use super::*;
    use accelscope_core::host::HostRoots;
    use accelscope_core::metric::Timestamp;
    use accelscope_proto::hailo::{ProtoMon, ProtoMonInfo};

    fn message(fps: f64) -> Vec<u8> {
        let network = ProtoMonInfo {
            network_name: "n".into(),
            fps,
            utilization: 50.0,
        };
        ProtoMon {
            pid: "7".into(),
            networks_infos: vec![network],
            ..ProtoMon::default()
        }
        .encode_to_vec()
    }

    fn monitored(path: &Path, watch: Option<&Watch>) -> Monitored {
        let directory = Directory::configured(&HostRoots::new("/"), path).unwrap();
        Monitored::new(directory, watch, &mut false)
    }

    /// As if all that was written so far lay that far in the past.
    fn later(ms: u64) -> Moment {
        let wall = Timestamp::now().unix_nanos() + ms * 1_000_000;
        Moment {
            instant: Instant::now() + Duration::from_millis(ms),
            wall: Timestamp::from_unix_nanos(wall),
        }
    }

    fn rate(monitored: &Monitored, name: &str) -> Option<f64> {
        monitored.files.all().get(OsStr::new(name))?.latest()?.reading.networks["n"].frame_rate
    }

    #[test]
    fn without_events_a_change_is_found_by_looking() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        let mut skipped = Skipped::default();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        assert!(monitored.update(later(100), &mut skipped).unwrap());
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        std::fs::write(dir.path().join("7abcdef"), message(22.0)).unwrap();
        assert!(!monitored.update(later(200), &mut skipped).unwrap(), "not yet");
        assert!(monitored.update(later(1200), &mut skipped).unwrap());
        assert_eq!(rate(&monitored, "7abcdef"), Some(22.0));
        std::fs::remove_file(dir.path().join("7abcdef")).unwrap();
        assert!(monitored.update(later(2300), &mut skipped).unwrap());
        assert!(monitored.files.all().is_empty());
    }

    #[test]
    fn a_file_that_is_just_being_written_is_looked_at_again_soon() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        let path = dir.path().join("7abcdef");
        std::fs::write(&path, &message(1.0)[..5]).unwrap();
        let written = rustix::fs::stat(&path).unwrap();
        let wall = Timestamp::from_unix_nanos(written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec);
        let now = Moment {
            instant: Instant::now(),
            wall,
        };
        assert!(!monitored.update(now, &mut Skipped::default()).unwrap());
        assert!(monitored.due().unwrap() - now.instant < Duration::from_millis(100));
    }

    #[test]
    fn a_file_system_without_events_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        monitored.watch = Some(watch.add(elsewhere.path()).unwrap());
        monitored.update(later(0), &mut Skipped::default()).unwrap();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        monitored.update(later(5_100), &mut Skipped::default()).unwrap();
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        assert!(!monitored.lacks_events, "its event may be on its way");
        monitored.update(later(6_200), &mut Skipped::default()).unwrap();
        assert!(monitored.lacks_events);
    }

    #[test]
    fn a_file_written_just_before_its_directory_was_watched_is_no_lack_of_events() {
        for others in 0..2 {
            let dir = tempfile::tempdir().unwrap();
            for name in ["7abcdef", "8abcdef"].iter().take(1 + others) {
                std::fs::write(dir.path().join(name), message(1.0)).unwrap();
            }
            let watch = Watch::new().unwrap();
            let mut monitored = monitored(dir.path(), Some(&watch));
            let written = rustix::fs::stat(dir.path().join("7abcdef")).unwrap();
            let wall = written.st_mtime as u64 * 1_000_000_000 + written.st_mtime_nsec;
            let begun = Instant::now();
            let at = |ms: u64| Moment {
                instant: begun + Duration::from_millis(ms),
                wall: Timestamp::from_unix_nanos(wall + ms * 1_000_000),
            };
            for ms in [1, 10, 60, 1_100, 2_200, 5_000] {
                monitored.update(at(ms), &mut Skipped::default()).unwrap();
            }
            assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
            assert!(!monitored.lacks_events);
            assert!(monitored.due().unwrap() >= begun + Duration::from_secs(5), "not polled");
        }
    }

    #[test]
    fn a_directory_that_gives_an_event_after_all_is_not_polled_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        monitored.update(later(0), &mut Skipped::default()).unwrap();
        // As a tool does that sets the time of a file that it has copied: there is no event for that.
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        monitored.update(later(5_100), &mut Skipped::default()).unwrap();
        monitored.update(later(6_200), &mut Skipped::default()).unwrap();
        assert!(monitored.lacks_events);
        std::fs::write(dir.path().join("7abcdef"), message(2.0)).unwrap();
        monitored.on_event("7abcdef".into());
        monitored.update(later(7_300), &mut Skipped::default()).unwrap();
        assert!(!monitored.lacks_events);
    }

    #[test]
    fn a_file_that_cannot_be_read_or_a_late_event_does_not_mean_that_there_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        monitored.update(later(0), &mut Skipped::default()).unwrap();
        let huge = std::fs::File::create(dir.path().join("8abcdef")).unwrap();
        huge.set_len(1 << 40).unwrap();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        monitored.on_event("8abcdef".into());
        let mut at = 5_100;
        for _ in 0..4 {
            monitored.update(later(at), &mut Skipped::default()).unwrap();
            monitored.on_event("7abcdef".into());
            at += 5_100;
        }
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        assert!(!monitored.lacks_events);
    }

    #[test]
    fn a_cut_off_write_keeps_the_last_values_and_a_temporary_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        let mut skipped = Skipped::default();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        std::fs::write(dir.path().join("8abcdef.tmp"), message(1.0)).unwrap();
        monitored.update(later(100), &mut skipped).unwrap();
        for half in [0, 1, 4, 9] {
            std::fs::write(dir.path().join("7abcdef"), &message(9.0)[..half]).unwrap();
            monitored.on_event("7abcdef".into());
            monitored.on_event("8abcdef.tmp".into());
            monitored.update(later(200), &mut skipped).unwrap();
            assert_eq!(rate(&monitored, "7abcdef"), Some(1.0), "{half}");
        }
        assert_eq!(monitored.files.all().len(), 1);
        assert_eq!(skipped, Skipped::default(), "a write under way is no fault");
    }

    #[test]
    fn files_that_grow_together_are_bounded_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        let mut skipped = Skipped::default();
        let large = |pid: usize| {
            let network = |n| ProtoMonInfo {
                network_name: format!("{n}"),
                ..ProtoMonInfo::default()
            };
            ProtoMon {
                pid: pid.to_string(),
                // The process id counts as one.
                networks_infos: (1..decode::MAX_ELEMENTS).map(network).collect(),
                ..ProtoMon::default()
            }
            .encode_to_vec()
        };
        let files = MAX_ELEMENTS / decode::MAX_ELEMENTS + 3;
        for small in [true, false] {
            for pid in 1..=files {
                let bytes = if small { message(1.0) } else { large(pid) };
                let name = format!("{pid}abcdef");
                std::fs::write(dir.path().join(&name), bytes).unwrap();
                monitored.on_event(name.into());
            }
            monitored.update(later(100), &mut skipped).unwrap();
        }
        assert_eq!(monitored.files.all().len(), files);
        assert!(monitored.files.all().values().map(File::elements).sum::<usize>() <= MAX_ELEMENTS);
        assert_eq!(skipped.0.get("too_many_elements"), Some(&3));
    }

    #[test]
    fn files_left_behind_make_room_for_one_that_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        for pid in 1..=MAX_FILES {
            std::fs::write(dir.path().join(format!("{pid}abcdef")), message(1.0)).unwrap();
        }
        monitored.update(later(60_000), &mut Skipped::default()).unwrap();
        assert_eq!(monitored.files.all().len(), MAX_FILES);
        let live = dir.path().join("live");
        std::fs::write(&live, message(22.0)).unwrap();
        let now = later(60_100);
        let written = std::time::UNIX_EPOCH + Duration::from_nanos(now.wall.unix_nanos() - 50_000_000);
        let file = std::fs::File::options().append(true).open(&live).unwrap();
        file.set_modified(written).unwrap();
        monitored.on_event("live".into());
        let mut skipped = Skipped::default();
        assert!(monitored.update(now, &mut skipped).unwrap());
        assert_eq!(rate(&monitored, "live"), Some(22.0));
        assert_eq!(skipped, Skipped::default());
        assert!(monitored.files.all().len() <= MAX_FILES);
    }

    #[test]
    fn what_is_no_monitor_file_is_counted_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut monitored = monitored(dir.path(), None);
        let mut skipped = Skipped::default();
        std::fs::write(dir.path().join("x"), b"\x0a\x01x\x12\x00").unwrap();
        std::fs::write(dir.path().join("y"), b"\x08\x01").unwrap();
        monitored.update(later(100), &mut skipped).unwrap();
        assert_eq!(skipped.0, BTreeMap::from([("malformed", 1), ("no_pid", 1)]));
        assert!(monitored.files.all().values().all(|file| file.latest().is_none()));
    }
}
