//! Monitor files of living processes that are not shown: logged once each, and named in the reason of an empty reading.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::directory::{MAX_FILES, Stamp};
use super::file_name::{named_pid, path_in_words};
use super::living::Living;
use super::monitored::Monitored;
use super::owner::Search;
use super::state::File;
use super::trouble::Trouble;
use accelscope_core::metric::{Moment, Timestamp};

/// A file that was written less than this ago may still be being written.
const LASTING: Duration = Duration::from_secs(2);
/// Most lines about files of one directory in that time.
const MAX_LINES: usize = 16;
const LINES_IN: Duration = Duration::from_mins(10);
/// Most files that are named in one reason.
const MAX_NAMED: usize = 3;

/// What was reported about the files of a directory.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// The last version that was looked at, and whether it was of a living process: then the log has it.
    files: BTreeMap<OsString, (Option<Stamp>, bool)>,
    /// Lines of late, and since when.
    lines: usize,
    since: Option<Instant>,
}

/// A file that is not shown.
struct Unshown<'a> {
    name: &'a OsStr,
    pid: Option<u32>,
    stamp: Option<Stamp>,
    why: Trouble,
    kind: Kind,
}

/// How a file that is not shown is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It cannot be used: a warning, if it stays so.
    Unusable,
    /// Its writer lives and does not write: not necessarily a fault.
    Overdue,
    /// It claims the process of another file.
    Claiming,
    /// Its writer cannot be seen, which the search for it has logged.
    Unseen,
}

impl Monitored {
    fn unshown(&self, max_age: Option<Duration>, now: Instant) -> Vec<Unshown<'_>> {
        let others = self.others.iter().map(|(name, kind)| Unshown {
            name,
            pid: named_pid(name),
            stamp: None,
            why: Trouble::other_kind(kind),
            kind: Kind::Unusable,
        });
        let refused = self.files.refused().map(|(name, refused)| Unshown {
            name,
            pid: named_pid(name),
            stamp: Some(refused.stamp),
            why: refused.why.clone(),
            kind: Kind::Unusable,
        });
        let stale = self.files.stale(max_age, now).filter_map(|(name, file)| {
            let (kind, why) = why(file, now)?;
            Some(Unshown::of(name, file, kind, why))
        });
        let fresh = self.files.fresh(max_age, now).filter_map(|(name, file)| {
            let (kind, why) = match (file.owner.search, file.owner.claimed()) {
                (_, Some(process)) => (Kind::Claiming, Trouble::claims(process.pid)),
                (Search::Exited, _) => (
                    Kind::Unseen,
                    Trouble::unseen(file.age(now)?, file.owner.may_be_elsewhere),
                ),
                _ => return None,
            };
            Some(Unshown::of(name, file, kind, why))
        });
        others.chain(refused).chain(stale).chain(fresh).collect()
    }

    /// The files that cannot be used and have no current values of an earlier version, with the process that they name.
    pub(super) fn unusable(&self, max_age: Option<Duration>, now: Instant) -> Vec<(&OsStr, u32, Stamp)> {
        let unusable = self.unshown(max_age, now).into_iter().filter(|file| {
            let kept = self.files.get(file.name);
            file.kind == Kind::Unusable && kept.is_none_or(|kept| !kept.is_fresh(max_age, now))
        });
        unusable
            .filter_map(|file| Some((file.name, file.pid?, file.stamp?)))
            .collect()
    }

    /// Logs each file of a living process that is not shown, once.
    pub(super) fn report_unshown(&mut self, max_age: Option<Duration>, now: Moment, living: &mut Living) {
        let mut reported = std::mem::take(&mut self.reported);
        if reported.since.is_none_or(|since| now.instant >= since + LINES_IN) {
            (reported.lines, reported.since) = (0, Some(now.instant));
        }
        // A file that is shown again and then not is no news, one of the same name after it was removed is.
        reported
            .files
            .retain(|name, _| self.files.has(name) || self.others.iter().any(|(other, _)| other == name));
        for file in self.unshown(max_age, now.instant) {
            let is_new = file.kind != Kind::Unseen && file.is_lasting(now.wall) && !reported.knows(&file);
            if !is_new || reported.files.len() >= 2 * MAX_FILES {
                continue;
            }
            let process = file.process(living);
            if process.is_none() && !living.is_current() {
                continue;
            }
            reported
                .files
                .insert(file.name.to_owned(), (file.stamp, process.is_some()));
            let Some(process) = process.filter(|_| reported.lines < MAX_LINES) else {
                continue;
            };
            reported.lines += 1;
            let (path, Trouble { what, remedy }) = (path_in_words(&self.place, file.name), &file.why);
            if file.kind == Kind::Overdue {
                tracing::info!(process, "{path} {what}, and is not shown: {remedy}");
            } else {
                tracing::warn!(process, "{path} {what}, and is not shown: {remedy}");
            }
        }
        self.reported = reported;
    }

    /// The files that are not shown, in words.
    pub(super) fn unshown_in_words(&self, max_age: Option<Duration>, now: Instant, living: &mut Living) -> Vec<String> {
        let files = self.unshown(max_age, now);
        let mut words: Vec<String> = Vec::new();
        for file in files {
            if words.len() == MAX_NAMED {
                break;
            }
            let is_of_living = match self.reported.files.get(file.name) {
                Some((stamp, is_of_living)) if *stamp == file.stamp || *is_of_living => *is_of_living,
                _ => file.kind == Kind::Unseen || file.process(living).is_some(),
            };
            if is_of_living {
                words.push(format!("{} {}", path_in_words(&self.place, file.name), file.why.what));
            }
        }
        words
    }
}

/// Why a file without current values has none. One that its writer merely does not write any more is reported only while that
/// may live.
fn why(file: &File, now: Instant) -> Option<(Kind, Trouble)> {
    if let Some(fault) = &file.fault {
        return Some((Kind::Unusable, fault.clone()));
    }
    if file.owner.search == Search::Exited || file.owner.claimed().is_some() {
        return None;
    }
    Some((Kind::Overdue, Trouble::overdue(file.age(now)?, file.interval())))
}

impl<'a> Unshown<'a> {
    fn of(name: &'a OsStr, file: &File, kind: Kind, why: Trouble) -> Self {
        Self {
            name,
            pid: file.latest().map(|latest| latest.reading.pid).or(named_pid(name)),
            stamp: file.stamp(),
            why,
            kind,
        }
    }
}

impl Unshown<'_> {
    fn is_lasting(&self, now: Timestamp) -> bool {
        self.stamp
            .is_none_or(|stamp| now.since(stamp.modified) >= LASTING || stamp.modified > now)
    }

    /// The living process that the file is of.
    fn process(&self, living: &mut Living) -> Option<String> {
        let pid = *living.with_id(self.pid?).ok()?.first()?;
        Some(living.name(pid))
    }
}

impl Reported {
    fn knows(&self, file: &Unshown<'_>) -> bool {
        let known = self.files.get(file.name);
        known.is_some_and(|(stamp, is_of_living)| *is_of_living || *stamp == file.stamp)
    }
}
