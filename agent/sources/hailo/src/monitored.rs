//! One directory of monitor files, kept up to date from events and, where there are none, from looking at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use inotify::WatchDescriptor;

use super::decode;
use super::directory::{Directory, MAX_FILES, ReadError, Stamp, is_monitor_file};
use super::reading::{Reading, Skipped};
use super::state::{File, Moment};
use super::watch::{self, Watch};

/// How often a directory is looked at whose events are told: a safety net.
const WATCHED: Duration = Duration::from_secs(5);
/// And one whose events are not.
const UNWATCHED: Duration = Duration::from_secs(1);

/// A file that changed less than this before it was come across may still be being written.
pub(super) const SETTLED: Duration = Duration::from_millis(20);

/// A file that changed less than this ago has a writer, more likely than not.
const YOUNG: Duration = Duration::from_secs(5);

/// Most networks and streams of one directory: more than any node runs, less than would hurt it.
const MAX_ELEMENTS: usize = 5_000;

/// A directory and what is known of its files.
#[derive(Debug)]
pub(super) struct Monitored {
    pub(super) directory: Directory,
    pub(super) watch: Option<WatchDescriptor>,
    pub(super) files: BTreeMap<OsString, File>,
    touched: BTreeSet<OsString>,
    /// Changed files that were found by looking. Their event may still be on its way.
    untold: BTreeSet<OsString>,
    /// Versions of files that could not be read, or found no room.
    refused: BTreeMap<OsString, Stamp>,
    /// Its file system has been seen not to tell of a change, or is known not to.
    silent: bool,
    scan_at: Option<Instant>,
    /// The last look left a file out that may still be being written.
    pub(super) unsettled: bool,
    /// That there are too many files has been said.
    crowded: bool,
}

impl Monitored {
    /// Everything in it is new.
    pub(super) fn new(directory: Directory, watch: Option<&Watch>, warned: &mut bool) -> Self {
        let mut new = Self {
            silent: directory.is_remote(),
            directory,
            watch: None,
            files: BTreeMap::new(),
            touched: BTreeSet::new(),
            untold: BTreeSet::new(),
            refused: BTreeMap::new(),
            unsettled: false,
            crowded: false,
            scan_at: None,
        };
        if let Some(watch) = watch {
            new.watch_with(watch, warned);
        }
        new
    }

    /// Lets events tell what changes from now on.
    pub(super) fn watch_with(&mut self, watch: &Watch, warned: &mut bool) {
        match watch.add(self.directory.own_path()) {
            Ok(descriptor) => self.watch = Some(descriptor),
            Err(error) => warn_once(warned, &error),
        }
        self.scan_at = None;
    }

    /// An event told of this name.
    pub(super) fn touch(&mut self, name: OsString) {
        if is_monitor_file(&name) {
            self.untold.remove(&name);
            self.touched.insert(name);
        }
    }

    /// Events were lost.
    pub(super) fn rescan(&mut self) {
        self.untold.clear();
        self.scan_at = None;
    }

    /// When it wants to be looked at next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.scan_at
    }

    /// The files that are young enough to be shown.
    pub(super) fn fresh(&self, max_age: Option<Duration>, now: Instant) -> impl Iterator<Item = (&OsString, &File)> {
        self.files.iter().filter(move |(_, file)| file.is_fresh(max_age, now))
    }

    /// A process writes one file. Where two containers that share the directory had a writer of the same id, and one of
    /// them was killed, the other alone fits both files: it must not be shown as having done what the dead one did.
    pub(super) fn doubt_shared_owners(&mut self, max_age: Option<Duration>, now: Instant) {
        let mut files = HashMap::new();
        for process in self
            .fresh(max_age, now)
            .filter_map(|(_, file)| file.owner.owned.process())
        {
            *files.entry(process).or_insert(0) += 1;
        }
        for file in self.files.values_mut().filter(|file| file.is_fresh(max_age, now)) {
            let shared = file.owner.owned.process().and_then(|process| files.get(&process));
            if let Some(count) = shared.filter(|count| **count > 1) {
                file.owner.doubt(*count);
            }
        }
    }

    /// Reads what changed. Whether anything did.
    pub(super) fn update(&mut self, now: Moment, skipped: &mut Skipped) -> std::io::Result<bool> {
        let touched = std::mem::take(&mut self.touched);
        let mut changed = false;
        for name in touched {
            changed |= self.refresh(&name, now, skipped);
        }
        if self.scan_at.is_none_or(|at| now.instant >= at) {
            changed |= self.scan(now, skipped)?;
        }
        Ok(changed)
    }

    fn scan(&mut self, now: Moment, skipped: &mut Skipped) -> std::io::Result<bool> {
        let first = self.scan_at.is_none();
        self.doubt_events();
        self.scan_at = Some(now.instant + UNWATCHED);
        let (names, left_out) = self.directory.names()?;
        for _ in 0..left_out {
            skipped.add("too_many_files");
        }
        self.warn_of_crowd(left_out);
        let before = self.files.len();
        let names: BTreeSet<OsString> = names.into_iter().collect();
        // What an event told of may lie beyond the entries that are walked through.
        let (directory, some_unseen) = (&self.directory, left_out > 0);
        self.files.retain(|name, file| {
            names.contains(name) || some_unseen && file.is_fresh(None, now.instant) && directory.stamp(name).is_ok()
        });
        self.refused.retain(|name, _| names.contains(name));
        let mut changed = self.files.len() < before;
        let mut unsettled = false;
        for name in names {
            let Ok(stamp) = self.directory.stamp(&name) else {
                continue;
            };
            if self.files.get(&name).is_some_and(|file| file.knows(stamp)) {
                continue;
            }
            let age = now.wall.since(stamp.modified);
            if stamp.modified <= now.wall && age < SETTLED {
                unsettled = true;
                continue;
            }
            if !first && self.refused.get(&name) != Some(&stamp) {
                self.untold.insert(name.clone());
            }
            changed |= self.refresh(&name, now, skipped);
        }
        self.unsettled = unsettled;
        let looks_often = self.silent || self.watch.is_none() || !self.untold.is_empty();
        let rest = match (unsettled, looks_often) {
            (true, _) => SETTLED * 2,
            (false, true) => UNWATCHED,
            (false, false) => WATCHED,
        };
        self.scan_at = Some(now.instant + rest);
        Ok(changed)
    }

    /// What was found by the last look and was not told since, will not be.
    fn doubt_events(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        if let Some(name) = untold.first().filter(|_| !self.silent && self.watch.is_some()) {
            tracing::info!(
                file = %name.display(),
                "a monitor file changed without an event: its directory is looked at every second from now on"
            );
            self.silent = true;
        }
    }

    /// Whether there are other values now.
    fn refresh(&mut self, name: &OsStr, now: Moment, skipped: &mut Skipped) -> bool {
        let (bytes, stamp) = match self.directory.read(name) {
            Ok(read) => read,
            Err(ReadError::Gone) => return self.files.remove(name).is_some(),
            Err(error) => {
                tracing::debug!(file = %name.display(), %error, "monitor file left out");
                skipped.add_some(error.reason());
                self.refused
                    .extend(self.directory.stamp(name).map(|stamp| (name.to_owned(), stamp)));
                return false;
            }
        };
        if !self.files.contains_key(name) && !self.has_room(stamp, now) {
            skipped.add("too_many_files");
            self.refused.insert(name.to_owned(), stamp);
            return false;
        }
        self.refused.remove(name);
        let file = self.files.entry(name.to_owned()).or_default();
        if file.knows(stamp) {
            return false;
        }
        let has_extremes = file.has_extremes();
        let mut reading = read(&bytes, name, has_extremes, skipped);
        let others = self.files.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(_, file)| file.elements()).sum();
        // A file may grow after it was let in.
        if reading
            .as_ref()
            .is_some_and(|new| others + new.elements() > MAX_ELEMENTS)
        {
            skipped.add("too_many_elements");
            reading = None;
        }
        let file = self.files.entry(name.to_owned()).or_default();
        let has_values = reading.is_some();
        file.wrote(stamp, reading, now);
        has_values
    }

    /// Whether another file can be let in. One that is being written takes the place of those left behind.
    fn has_room(&mut self, stamp: Stamp, now: Moment) -> bool {
        while self.is_full() {
            let is_stale = |file: &File| !file.is_fresh(None, now.instant);
            let stale = self
                .files
                .iter()
                .find(|(_, file)| is_stale(file))
                .map(|(name, _)| name.clone());
            match stale {
                Some(name) if now.wall.since(stamp.modified) < YOUNG => drop(self.files.remove(&name)),
                _ => return false,
            }
        }
        true
    }

    fn warn_of_crowd(&mut self, left_out: usize) {
        if left_out > 0 && !std::mem::replace(&mut self.crowded, true) {
            tracing::warn!(
                inode = self.directory.id.1,
                "a directory has more monitor files than the {MAX_FILES} that are looked at, those written last: remove \
                 what killed applications left behind, such as with `find /tmp/hmon_files -type f -mmin +5 -delete`"
            );
        }
        self.crowded &= left_out > 0;
    }

    fn is_full(&self) -> bool {
        self.files.len() >= MAX_FILES || self.files.values().map(File::elements).sum::<usize>() >= MAX_ELEMENTS
    }
}

fn read(bytes: &[u8], name: &OsStr, has_extremes: bool, skipped: &mut Skipped) -> Option<Reading> {
    let message = decode::decode(bytes).inspect_err(|error| {
        tracing::debug!(file = %name.display(), %error, "monitor file without values");
        skipped.add_some(error.reason());
    });
    let reading = Reading::new(message.ok()?, &name.to_string_lossy(), has_extremes);
    match &reading {
        Some(reading) => skipped.add_all(&reading.skipped),
        None => skipped.add("no_pid"),
    }
    reading
}

/// What a watch that could not be had means, once.
pub(super) fn warn_once(warned: &mut bool, error: &std::io::Error) {
    if !std::mem::replace(warned, true) {
        let remedy = watch::remedy(error);
        tracing::warn!(%error, remedy, "cannot watch for monitor files: they are looked for every second instead");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message;

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
        monitored.files.get(OsStr::new(name))?.good()?.reading.networks["n"].frame_rate
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
        assert!(monitored.files.is_empty());
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
    fn a_file_system_that_tells_nothing_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        monitored.watch = Some(watch.add(elsewhere.path()).unwrap());
        monitored.update(later(0), &mut Skipped::default()).unwrap();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        monitored.update(later(5_100), &mut Skipped::default()).unwrap();
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        assert!(!monitored.silent, "its event may be on its way");
        monitored.update(later(6_200), &mut Skipped::default()).unwrap();
        assert!(monitored.silent);
    }

    #[test]
    fn what_cannot_be_read_or_is_told_late_makes_no_file_system_silent() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new().unwrap();
        let mut monitored = monitored(dir.path(), Some(&watch));
        monitored.update(later(0), &mut Skipped::default()).unwrap();
        let huge = std::fs::File::create(dir.path().join("8abcdef")).unwrap();
        huge.set_len(1 << 40).unwrap();
        std::fs::write(dir.path().join("7abcdef"), message(1.0)).unwrap();
        monitored.touch("8abcdef".into());
        let mut at = 5_100;
        for _ in 0..4 {
            monitored.update(later(at), &mut Skipped::default()).unwrap();
            monitored.touch("7abcdef".into());
            at += 5_100;
        }
        assert_eq!(rate(&monitored, "7abcdef"), Some(1.0));
        assert!(!monitored.silent);
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
            monitored.touch("7abcdef".into());
            monitored.touch("8abcdef.tmp".into());
            monitored.update(later(200), &mut skipped).unwrap();
            assert_eq!(rate(&monitored, "7abcdef"), Some(1.0), "{half}");
        }
        assert_eq!(monitored.files.len(), 1);
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
                monitored.touch(name.into());
            }
            monitored.update(later(100), &mut skipped).unwrap();
        }
        assert_eq!(monitored.files.len(), files);
        assert!(monitored.files.values().map(File::elements).sum::<usize>() <= MAX_ELEMENTS);
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
        assert_eq!(monitored.files.len(), MAX_FILES);
        let live = dir.path().join("live");
        std::fs::write(&live, message(22.0)).unwrap();
        let now = later(60_100);
        let written = std::time::UNIX_EPOCH + Duration::from_nanos(now.wall.unix_nanos() - 50_000_000);
        let file = std::fs::File::options().append(true).open(&live).unwrap();
        file.set_modified(written).unwrap();
        monitored.touch("live".into());
        let mut skipped = Skipped::default();
        assert!(monitored.update(now, &mut skipped).unwrap());
        assert_eq!(rate(&monitored, "live"), Some(22.0));
        assert_eq!(skipped, Skipped::default());
        assert!(monitored.files.len() <= MAX_FILES);
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
        assert!(monitored.files.values().all(|file| file.good().is_none()));
    }
}
