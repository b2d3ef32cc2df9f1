//! The files of one monitor directory and the state of each, within bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::budget::{Budget, User};
use super::decode::{MAX_BYTES, decode};
use super::directory::{Directory, MAX_FILES, ReadError, Stamp};
use super::file_name::named_pid;
use super::owner::Rivals;
use super::reading::Reading;
use super::skipped::{DEFERRED, Skipped, TOO_MANY_NEW};
use super::state::File;
use super::trouble::Trouble;
use accelscope_core::metric::Moment;

/// A new file modified less than this ago replaces one that is no longer written.
const YOUNG: Duration = Duration::from_secs(5);

/// Limit of networks and streams of all directories, of which each has an equal part if the others want theirs: more than any
/// node runs, and a bounded load.
pub(super) const MAX_ELEMENTS: usize = 5_000;

/// Files by name.
#[derive(Debug, Default)]
pub(super) struct Files {
    by_name: BTreeMap<OsString, File>,
    /// Versions of files that could not be read, or were beyond the bounds.
    refused: BTreeMap<OsString, Refused>,
    /// Files of users who have read too much of late.
    deferred: BTreeSet<OsString>,
    budget: Arc<Mutex<Budget>>,
    pub(super) limits: Limits,
}

/// What is kept of one directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) files: usize,
    elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: MAX_FILES,
            elements: MAX_ELEMENTS,
        }
    }
}

/// A version of a file that is not kept, and why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) stamp: Stamp,
    pub(super) why: Trouble,
}

impl Files {
    /// With the allowances that all directories share.
    pub(super) fn new(budget: Arc<Mutex<Budget>>) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

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

    /// Sets what other files of the directory claim of the process of this one.
    pub(super) fn set_rivals(&mut self, name: &OsStr, rivals: Rivals) {
        if let Some(file) = self.by_name.get_mut(name) {
            file.owner.rivals = rivals;
        }
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

    /// Whether a file was written while it was read.
    pub(super) fn is_changing(&self, name: &OsStr) -> bool {
        let refused = self.refused.get(name);
        refused.is_some_and(|refused| refused.why == Trouble::from(&ReadError::Changing))
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
        let (bytes, stamp) = match self.read(directory, name, now.instant, skipped) {
            Ok(Some(read)) => read,
            Ok(None) => return false,
            Err(ReadError::Gone) => {
                self.refused.remove(name);
                self.deferred.remove(name);
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
        if self
            .by_name
            .get(name)
            .is_some_and(|file| file.user() != Some(stamp.user))
        {
            // Another user's file took its place.
            self.by_name.remove(name);
        }
        let file = self.by_name.entry(name.to_owned()).or_default();
        let mut reading = parse(&bytes, name, file, skipped);
        if let Some(reading) = &mut reading {
            self.charge((directory.id, stamp.user), name, reading, now.instant, skipped);
        }
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

    /// Reads a file, unless its present version was processed, or its user has read too much of late: then it is read later.
    fn read(
        &mut self,
        directory: &Directory,
        name: &OsStr,
        now: Instant,
        skipped: &mut Skipped,
    ) -> Result<Option<(Vec<u8>, Stamp)>, ReadError> {
        let found = directory.find(name)?;
        let stamp = found.stamp;
        if self.has_seen(name, stamp) {
            self.refused.remove(name);
            self.deferred.remove(name);
            return Ok(None);
        }
        let user = (directory.id, stamp.user);
        let is_too_large = stamp.size > MAX_BYTES;
        if !is_too_large && !self.budget().admits_read(user, stamp.size, now) {
            skipped.add(DEFERRED);
            if self.deferred.len() < MAX_FILES {
                self.deferred.insert(name.to_owned());
            }
            return Ok(None);
        }
        self.deferred.remove(name);
        Ok(Some((found.read()?, stamp)))
    }

    /// Charges a user for the elements of a reading, and leaves out those with new names that are too many.
    fn charge(&self, user: User, name: &OsStr, reading: &mut Reading, now: Instant, skipped: &mut Skipped) {
        let file = self.by_name.get(name);
        let none = Reading::default();
        let before = file.and_then(File::latest).map_or(&none, |latest| &latest.reading);
        let is_known = |network: &str| file.is_some_and(|file| file.counts(network));
        let mut budget = self.budget();
        budget.charge(user, reading.elements(), 0, now);
        let new = reading.new_names(before, is_known);
        let admitted = budget.admit_names(user, new, now);
        if admitted < new {
            skipped.add_many(TOO_MANY_NEW, reading.leave_out(before, is_known, admitted));
        }
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that are to be read later.
    pub(super) fn take_deferred(&mut self) -> BTreeSet<OsString> {
        std::mem::take(&mut self.deferred)
    }

    /// Whether a file is to be read later.
    pub(super) fn is_deferred(&self, name: &OsStr) -> bool {
        self.deferred.contains(name)
    }

    /// Whether any is.
    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
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

    /// Its files and elements.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_name.values().map(File::elements).sum())
    }

    /// Sets its limits, where `count` directories have so many files and elements beside its own.
    pub(super) fn limit(&mut self, other_files: usize, other_elements: usize, count: usize) {
        let left = |most: usize, others: usize| most.saturating_sub(others).max(most / count.max(1));
        self.limits = Limits {
            files: left(MAX_FILES, other_files),
            elements: left(MAX_ELEMENTS, other_elements),
        };
    }

    /// Gives up files and values beyond the limits, those of the user who has the most first. Returns whether there were any.
    pub(super) fn keep_limits(&mut self) -> bool {
        let mut any = false;
        loop {
            let (files, elements) = self.used();
            let (too_many, too_large) = (files > self.limits.files, elements > self.limits.elements);
            if !(too_many || too_large) {
                return any;
            }
            any = true;
            let mut of_users = BTreeMap::<_, usize>::new();
            for file in self.by_name.values() {
                *of_users.entry(file.user()).or_default() += if too_many { 1 } else { file.elements() };
            }
            let crowd = of_users.into_iter().max_by_key(|(_, many)| *many).map(|(user, _)| user);
            if too_large {
                let mut of_crowd = self.by_name.values_mut().filter(|file| Some(file.user()) == crowd);
                if of_crowd.any(File::forget_absent) {
                    continue;
                }
            }
            let of_crowd = self.by_name.iter_mut().filter(|(_, file)| Some(file.user()) == crowd);
            let Some((name, file)) = of_crowd.max_by_key(|(_, file)| file.elements()) else {
                return any;
            };
            if too_many {
                let name = name.clone();
                self.by_name.remove(&name);
            } else {
                file.drop_values(Trouble::beyond_bounds());
            }
        }
    }

    /// Makes room for another file: a young one replaces one that is no longer written, else the likeliest to be none of
    /// the runtime's of a user who has more files than its own.
    fn make_room(&mut self, name: &OsStr, stamp: Stamp, now: Moment) -> bool {
        if self.by_name.len() < self.limits.files {
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
            if of_users.values().sum::<usize>() + reading.elements() <= self.limits.elements {
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
