//! The files of one monitor directory and the state of each, within bounds.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::decode::decode;
use super::directory::{Directory, MAX_FILES, ReadError, Stamp};
use super::file_name::named_pid;
use super::living::Living;
use super::reading::Reading;
use super::skipped::Skipped;
use super::state::File;
use super::trouble::Trouble;
use accelscope_core::metric::{Moment, ProcessKey};

/// A new file modified less than this ago replaces one that is no longer written.
const YOUNG: Duration = Duration::from_secs(5);

/// Limit of networks and streams of one directory: more than any node runs, and a bounded load.
pub(super) const MAX_ELEMENTS: usize = 5_000;

/// Files by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_name: BTreeMap<OsString, File>,
    /// Versions of files that could not be read, or were beyond the bounds.
    refused: BTreeMap<OsString, Refused>,
}

/// A version of a file that is not kept, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) stamp: Stamp,
    pub(super) why: Trouble,
}

impl Files {
    #[cfg(test)]
    pub(super) fn all(&self) -> &BTreeMap<OsString, File> {
        &self.by_name
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&OsString, &mut File)> {
        self.by_name.iter_mut()
    }

    /// Files without values within their age limit, but for those of which the present version is refused.
    pub(super) fn stale(&self, max_age: Option<Duration>, now: Instant) -> impl Iterator<Item = (&OsString, &File)> {
        self.by_name
            .iter()
            .filter(move |(name, file)| !file.is_fresh(max_age, now) && !self.refused.contains_key(*name))
    }

    /// Files that are not kept.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&OsString, &Refused)> {
        self.refused.iter()
    }

    /// Files with values within their age limit.
    pub(super) fn fresh(&self, max_age: Option<Duration>, now: Instant) -> impl Iterator<Item = (&OsString, &File)> {
        self.by_name.iter().filter(move |(_, file)| file.is_fresh(max_age, now))
    }

    /// A file that is kept.
    pub(super) fn get(&self, name: &OsStr) -> Option<&File> {
        self.by_name.get(name)
    }

    /// Whether there is such a file, kept or not.
    pub(super) fn has(&self, name: &OsStr) -> bool {
        self.by_name.contains_key(name) || self.refused.contains_key(name)
    }

    /// Whether this version of a file has been processed.
    pub(super) fn has_seen(&self, name: &OsStr, stamp: Stamp) -> bool {
        self.by_name.get(name).is_some_and(|file| file.has_seen(stamp))
    }

    /// Whether this version of a file was refused.
    pub(super) fn has_refused(&self, name: &OsStr, stamp: Stamp) -> bool {
        self.refused.get(name).is_some_and(|refused| refused.stamp == stamp)
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
            Err(ReadError::Gone) => {
                self.refused.remove(name);
                return self.by_name.remove(name).is_some();
            }
            Err(error) => {
                tracing::debug!(file = %name.display(), %error, "monitor file left out");
                skipped.add(error.reason());
                if let Ok(stamp) = directory.stamp(name) {
                    self.refuse(name, stamp, Trouble::from(&error));
                }
                return false;
            }
        };
        if self.has_seen(name, stamp) {
            self.refused.remove(name);
            return false;
        }
        if !self.by_name.contains_key(name) && !self.make_room(name, stamp, now) {
            skipped.add("too_many_files");
            self.refuse(name, stamp, Trouble::beyond_bounds());
            return false;
        }
        self.refused.remove(name);
        let file = self.by_name.entry(name.to_owned()).or_default();
        let reading = parse(&bytes, name, file, skipped);
        // The file may have grown since it was admitted.
        let fits = reading
            .as_ref()
            .is_none_or(|reading| self.make_space(name, stamp.user, reading));
        let reading = reading.filter(|_| fits);
        if !fits {
            skipped.add("too_many_elements");
        }
        let has_values = reading.is_some();
        let file = self.by_name.entry(name.to_owned()).or_default();
        if !fits {
            file.fault = Some(Trouble::beyond_bounds());
        }
        file.record(stamp, reading, now);
        has_values
    }

    /// Records that not even the version of a file can be read, such as in a directory that may only be listed.
    pub(super) fn note(&mut self, name: &OsStr, error: &ReadError) {
        if !matches!(error, ReadError::Gone) {
            self.refuse(name, Stamp::UNKNOWN, Trouble::from(error));
        }
    }

    fn refuse(&mut self, name: &OsStr, stamp: Stamp, why: Trouble) {
        if self.refused.len() < MAX_FILES || self.refused.contains_key(name) {
            self.refused.insert(name.to_owned(), Refused { stamp, why });
        }
    }

    /// Makes room for another file: a young one replaces one that is no longer written, else the likeliest to be none of
    /// the runtime's of a user who has more files than its own.
    fn make_room(&mut self, name: &OsStr, stamp: Stamp, now: Moment) -> bool {
        if self.by_name.len() < MAX_FILES {
            return true;
        }
        if now.wall.since(stamp.modified) >= YOUNG {
            return false;
        }
        let mut counts = BTreeMap::<_, usize>::new();
        for file in self.by_name.values() {
            *counts.entry(file.user()).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let own = counts.get(&Some(stamp.user)).copied().unwrap_or_default();
        let is_odd = |name: &OsStr| named_pid(name).is_none();
        let replaceable = |(other, file): &(&OsString, &File)| {
            let is_of_crowd = own < most && counts.get(&file.user()) == Some(&most);
            !file.is_fresh(None, now.instant) || is_of_crowd || (is_odd(other) && !is_odd(name))
        };
        let worst = self.by_name.iter().filter(replaceable).max_by_key(|(other, file)| {
            let is_stale = !file.is_fresh(None, now.instant);
            (is_stale, is_odd(other), file.age(now.instant))
        });
        let Some(worst) = worst.map(|(name, _)| name.clone()) else {
            return false;
        };
        self.by_name.remove(&worst);
        true
    }

    /// Whether the elements of a file have space beside those of the others. Those of a user who has more than the file's
    /// own give way.
    fn make_space(&mut self, name: &OsStr, user: u32, reading: &Reading) -> bool {
        loop {
            let mut of_users = BTreeMap::<_, usize>::new();
            for (_, file) in self.by_name.iter().filter(|(other, _)| *other != name) {
                *of_users.entry(file.user()).or_default() += file.elements();
            }
            if of_users.values().sum::<usize>() + reading.elements() <= MAX_ELEMENTS {
                return true;
            }
            let own = of_users.get(&Some(user)).copied().unwrap_or_default() + reading.elements();
            let most = of_users.iter().filter(|(other, _)| **other != Some(user));
            let Some((crowd, _)) = most.max_by_key(|(_, most)| **most).filter(|(_, most)| **most > own) else {
                return false;
            };
            let of_crowd = self.by_name.values_mut().filter(|file| file.user() == *crowd);
            if let Some(largest) = of_crowd.max_by_key(|file| file.elements()) {
                largest.drop_values(Trouble::beyond_bounds());
            }
        }
    }

    /// Makes the owner of fresh files ambiguous where one process seems to own several: a process writes only one. Of two
    /// containers that share the directory and had writers with the same id, one may have been killed; the other must
    /// not be shown with the values of both. But the process' own user and its id in the name make a file the likelier,
    /// and the others are then not shown: anybody can write a file that claims any process.
    pub(super) fn doubt_shared_owners(&mut self, max_age: Option<Duration>, now: Instant, living: &Living) {
        let mut claims = HashMap::<ProcessKey, Vec<(OsString, bool, bool)>>::new();
        for (name, file) in self.fresh(max_age, now) {
            if let Some(process) = file.owner.process() {
                let pid = file.latest().map(|latest| latest.reading.pid);
                let is_named = pid.is_some() && named_pid(name) == pid;
                claims.entry(process).or_default().push((name.clone(), false, is_named));
            }
        }
        for (process, mut files) in claims.into_iter().filter(|(_, files)| files.len() > 1) {
            let user = living.user(process.pid);
            for (name, is_of_user, _) in &mut files {
                let owner = self.by_name.get(name).and_then(File::user);
                *is_of_user = owner.is_some() && owner == user;
            }
            let likelihood = |(_, is_of_user, is_named): &(OsString, bool, bool)| (*is_of_user, *is_named);
            let best = files.iter().map(likelihood).max().unwrap_or_default();
            let count = files.iter().filter(|file| likelihood(file) == best).count();
            for claim in &files {
                let Some(file) = self.by_name.get_mut(&claim.0) else {
                    continue;
                };
                if likelihood(claim) < best {
                    file.owner.reject(process);
                } else if count > 1 {
                    file.owner.doubt(count);
                }
            }
        }
    }
}

fn parse(bytes: &[u8], name: &OsStr, file: &mut File, skipped: &mut Skipped) -> Option<Reading> {
    file.fault = None;
    let message = match decode(bytes) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(file = %name.display(), %error, "monitor file without values");
            skipped.add(error.reason());
            file.fault = Some(Trouble::from(&error));
            return None;
        }
    };
    let reading = Reading::new(message, &name.to_string_lossy(), file.has_extremes(), skipped);
    if reading.is_none() {
        file.fault = Some(Trouble::without_id());
    }
    reading
}

#[cfg(test)]
mod tests;
