//! Monitor files of living processes that are not shown: said in the log once each, and in the reason of an empty reading.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use super::directory::{MAX_FILES, Stamp};
use super::file_name::named_pid;
use super::living::Living;
use super::monitored::Monitored;
use super::state::File;
use super::trouble::Trouble;
use accelscope_core::metric::{Moment, Timestamp};

/// A file that was written less than this ago may still be being written.
const LASTING: Duration = Duration::from_secs(2);
/// Most lines about files of one directory.
const MAX_LINES: usize = 16;
/// Most files that are named in one reason.
const MAX_NAMED: usize = 3;

/// What was said about the files of a directory.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The last version that was looked at, and whether it was of a living process: then the log has it.
    files: BTreeMap<OsString, (Option<Stamp>, bool)>,
    lines: usize,
}

/// A file that is not shown.
struct Unshown<'a> {
    name: &'a OsStr,
    pid: Option<u32>,
    stamp: Option<Stamp>,
    why: Trouble,
    is_overdue: bool,
}

impl Monitored {
    fn unshown(&self, max_age: Option<Duration>, now: Instant) -> Vec<Unshown<'_>> {
        let others = self.others.iter().map(|(name, kind)| Unshown {
            name,
            pid: named_pid(name),
            stamp: None,
            why: Trouble::other_kind(kind),
            is_overdue: false,
        });
        let refused = self.files.refused().map(|(name, refused)| Unshown {
            name,
            pid: named_pid(name),
            stamp: Some(refused.stamp),
            why: refused.why.clone(),
            is_overdue: false,
        });
        let stale = self.files.stale(max_age, now).filter_map(|(name, file)| {
            Some(Unshown {
                name,
                pid: file.latest().map(|latest| latest.reading.pid).or(named_pid(name)),
                stamp: file.stamp(),
                why: why(file, now)?,
                is_overdue: file.fault.is_none(),
            })
        });
        others.chain(refused).chain(stale).collect()
    }

    /// Logs each file of a living process that is not shown, once.
    pub(super) fn tell(&mut self, max_age: Option<Duration>, now: Moment, living: &mut Living) {
        let mut told = std::mem::take(&mut self.told);
        for file in self.unshown(max_age, now.instant) {
            if told.knows(&file) || !file.is_lasting(now.wall) || told.files.len() >= 2 * MAX_FILES {
                continue;
            }
            let process = file.process(living);
            told.files.insert(file.name.to_owned(), (file.stamp, process.is_some()));
            let Some(process) = process.filter(|_| told.lines < MAX_LINES) else {
                continue;
            };
            told.lines += 1;
            let (path, Trouble { what, remedy }) = (self.place.join(file.name), &file.why);
            let path = path.display().to_string();
            let path = path.escape_debug();
            if file.is_overdue {
                tracing::info!(process, "{path} {what}, and is not shown: {remedy}");
            } else {
                tracing::warn!(process, "{path} {what}, and is not shown: {remedy}");
            }
        }
        self.told = told;
    }

    /// The files that are not shown, in words.
    pub(super) fn unshown_in_words(&self, max_age: Option<Duration>, now: Instant, living: &mut Living) -> Vec<String> {
        let files = self.unshown(max_age, now);
        let mut words: Vec<String> = Vec::new();
        for file in files {
            if words.len() == MAX_NAMED {
                break;
            }
            let is_of_living = match self.told.files.get(file.name) {
                Some((stamp, is_of_living)) if *stamp == file.stamp || *is_of_living => *is_of_living,
                _ => file.process(living).is_some(),
            };
            if is_of_living {
                let path = self.place.join(file.name).display().to_string();
                words.push(format!("{} {}", path.escape_debug(), file.why.what));
            }
        }
        words
    }
}

/// Why a file without current values has none. One that its writer merely does not write any more is told only while the
/// process lives that was found.
fn why(file: &File, now: Instant) -> Option<Trouble> {
    if let Some(fault) = &file.fault {
        return Some(fault.clone());
    }
    file.owner.process()?;
    Some(Trouble::overdue(file.age(now)?, file.interval()))
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

impl Told {
    fn knows(&self, file: &Unshown<'_>) -> bool {
        let known = self.files.get(file.name);
        known.is_some_and(|(stamp, is_of_living)| *is_of_living || *stamp == file.stamp)
    }
}
