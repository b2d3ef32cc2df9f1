//! The files of one monitor directory and the state of each, within bounds.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::decode::decode;
use super::directory::{Directory, MAX_FILES, ReadError, Stamp};
use super::reading::Reading;
use super::skipped::Skipped;
use super::state::File;
use accelscope_core::metric::Moment;

/// A new file modified less than this ago replaces one that is no longer written.
const YOUNG: Duration = Duration::from_secs(5);

/// Limit of networks and streams of one directory: more than any node runs, and a bounded load.
pub(super) const MAX_ELEMENTS: usize = 5_000;

/// Files by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_name: BTreeMap<OsString, File>,
    /// Versions of files that could not be read, or were beyond the bounds.
    refused: BTreeMap<OsString, Stamp>,
}

impl Files {
    #[cfg(test)]
    pub(super) fn all(&self) -> &BTreeMap<OsString, File> {
        &self.by_name
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&OsString, &mut File)> {
        self.by_name.iter_mut()
    }

    /// Files with values within their age limit.
    pub(super) fn fresh(&self, max_age: Option<Duration>, now: Instant) -> impl Iterator<Item = (&OsString, &File)> {
        self.by_name.iter().filter(move |(_, file)| file.is_fresh(max_age, now))
    }

    /// Whether this version of a file has been processed.
    pub(super) fn has_seen(&self, name: &OsStr, stamp: Stamp) -> bool {
        self.by_name.get(name).is_some_and(|file| file.has_seen(stamp))
    }

    /// Whether this version of a file was refused.
    pub(super) fn has_refused(&self, name: &OsStr, stamp: Stamp) -> bool {
        self.refused.get(name) == Some(&stamp)
    }

    /// Drops all but the files that are in `names` or that `keep` keeps. Returns whether there were any to drop.
    pub(super) fn retain(&mut self, names: &[OsString], keep: impl Fn(&OsStr, &File) -> bool) -> bool {
        let before = self.by_name.len();
        self.by_name
            .retain(|name, file| names.binary_search(name).is_ok() || keep(name, file));
        self.refused.retain(|name, _| names.binary_search(name).is_ok());
        self.by_name.len() < before
    }

    /// Reads a file. Returns whether the values of the directory changed.
    pub(super) fn refresh(&mut self, directory: &Directory, name: &OsStr, now: Moment, skipped: &mut Skipped) -> bool {
        let (bytes, stamp) = match directory.read(name) {
            Ok(read) => read,
            Err(ReadError::Gone) => return self.by_name.remove(name).is_some(),
            Err(error) => {
                tracing::debug!(file = %name.display(), %error, "monitor file left out");
                skipped.add(error.reason());
                self.refused
                    .extend(directory.stamp(name).map(|stamp| (name.to_owned(), stamp)));
                return false;
            }
        };
        if !self.by_name.contains_key(name) && !self.make_room(stamp, now) {
            skipped.add("too_many_files");
            self.refused.insert(name.to_owned(), stamp);
            return false;
        }
        self.refused.remove(name);
        let others = self.by_name.iter().filter(|(other, _)| *other != name);
        let others: usize = others.map(|(_, file)| file.elements()).sum();
        let file = self.by_name.entry(name.to_owned()).or_default();
        if file.has_seen(stamp) {
            return false;
        }
        // The file may have grown since it was admitted.
        let fits = |reading: &Reading| others + reading.elements() <= MAX_ELEMENTS;
        let reading = match parse(&bytes, name, file.has_extremes(), skipped) {
            Some(reading) if !fits(&reading) => {
                skipped.add("too_many_elements");
                None
            }
            reading => reading,
        };
        let has_values = reading.is_some();
        file.record(stamp, reading, now);
        has_values
    }

    /// Makes room for another file: a young one replaces those that are no longer written.
    fn make_room(&mut self, stamp: Stamp, now: Moment) -> bool {
        let is_young = now.wall.since(stamp.modified) < YOUNG;
        while self.is_full() {
            let stale = self.by_name.iter().find(|(_, file)| !file.is_fresh(None, now.instant));
            let Some(name) = stale.filter(|_| is_young).map(|(name, _)| name.clone()) else {
                return false;
            };
            self.by_name.remove(&name);
        }
        true
    }

    fn is_full(&self) -> bool {
        self.by_name.len() >= MAX_FILES || self.by_name.values().map(File::elements).sum::<usize>() >= MAX_ELEMENTS
    }

    /// Makes the owner of fresh files ambiguous where one process seems to own several: a process writes only one. Of two
    /// containers that share the directory and had writers with the same id, one may have been killed; the other must
    /// not be shown with the values of both.
    pub(super) fn doubt_shared_owners(&mut self, max_age: Option<Duration>, now: Instant) {
        let mut files = HashMap::new();
        let processes = self.fresh(max_age, now).filter_map(|(_, file)| file.owner.process());
        for process in processes {
            *files.entry(process).or_insert(0) += 1;
        }
        for file in self.by_name.values_mut().filter(|file| file.is_fresh(max_age, now)) {
            let shared = file.owner.process().and_then(|process| files.get(&process));
            if let Some(count) = shared.filter(|count| **count > 1) {
                file.owner.doubt(*count);
            }
        }
    }
}

fn parse(bytes: &[u8], name: &OsStr, has_extremes: bool, skipped: &mut Skipped) -> Option<Reading> {
    let message = decode(bytes).inspect_err(|error| {
        tracing::debug!(file = %name.display(), %error, "monitor file without values");
        skipped.add(error.reason());
    });
    Reading::new(message.ok()?, &name.to_string_lossy(), has_extremes, skipped)
}
