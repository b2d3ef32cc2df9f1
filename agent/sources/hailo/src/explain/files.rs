//! Monitor files and their writers, as `agent doctor` finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use accelscope_core::host::writer::{Writer, WriterHint};
use accelscope_core::metric::{ProcessKey, Timestamp};
use accelscope_core::sampler::Finding;

use super::warn;
use crate::budget::{Budget, READ_AT_ONCE};
use crate::decode::{MAX_BYTES, NotYet, decode};
use crate::directory::{Directory, DirectoryId, MAX_FILES, ReadError, Stamp};
use crate::environment::Environment;
use crate::file_name::{claimed_pid, named_pid, path_in_words};
use crate::listing::Listing;
use crate::living::Living;
use crate::monitored::WRITE_TIME;
use crate::owners::{evident_user, is_evidence, is_kernels};
use crate::settings::{NAME, Settings};
use crate::state::max_age;
use crate::trouble::Trouble;

/// Age up to which a file without a writer was written just now.
const STALE: Duration = Duration::from_secs(10);
/// Age above which a finding has it.
const YOUNG: Duration = Duration::from_secs(5);
/// Most findings about single files, and most names in one finding.
const MAX_FINDINGS: usize = 16;
const MAX_NAMED: usize = 4;

/// What is known of the monitor files of all directories.
#[derive(Clone)]
pub(super) struct Files {
    settings: Settings,
    directories: BTreeSet<DirectoryId>,
    /// Process ids of the fresh files, in the writers' PID namespaces.
    pub(super) fresh: Vec<u32>,
    /// Number of fresh files that are not of the process that they claim.
    pub(super) foreign: usize,
    pub(super) stale: usize,
    /// Processes with a finding, or with a fresh file.
    pub(super) explained: BTreeSet<u32>,
    /// Files without a living process, in words.
    left: Vec<String>,
    findings: usize,
    /// Of this examination: each has one of its own.
    budget: Arc<Mutex<Budget>>,
}

/// A look at a file.
enum Look {
    /// The process id in it, and its version.
    Read(u32, Stamp),
    Gone,
    /// It is not read: there was enough of its user's.
    TooMuch(u32),
}

/// A file with a process id.
struct Written<'a> {
    path: String,
    name: &'a OsStr,
    pid: u32,
    stamp: Stamp,
    age: Duration,
    /// Whether it is in the directory of the host, which all its users have.
    is_shared: bool,
}

impl Files {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            directories: BTreeSet::new(),
            fresh: Vec::new(),
            foreign: 0,
            stale: 0,
            explained: BTreeSet::new(),
            left: Vec::new(),
            findings: 0,
            budget: Arc::default(),
        }
    }

    /// Examines the files of a directory. Returns whether it is another one than those before.
    pub(super) fn add(
        &mut self,
        directory: &Directory,
        place: &Path,
        living: &mut Living,
        found: &mut Vec<Finding>,
    ) -> bool {
        if !self.directories.insert(directory.id) {
            return false;
        }
        let listing = match Listing::of(directory, living, MAX_FILES) {
            Ok(listing) => listing,
            Err(error) => {
                let remedy = "run the agent as root, or as a user that may list the directory";
                found.push(warn(format!("{} cannot be listed: {error}", place.display()), remedy));
                return true;
            }
        };
        if listing.more > 0 {
            let what = format!(
                "{} or more monitor files are left out: {MAX_FILES} are looked at, those of living processes first, with a \
                 share for each user",
                listing.more
            );
            let dir = place.display();
            let remedy = format!("remove what killed applications left behind: find {dir} -type f -mmin +5 -delete");
            found.push(warn(what, remedy));
        }
        for (name, kind) in &listing.others {
            self.trouble(place, name, &Trouble::other_kind(kind), living, found);
        }
        let mut unread = BTreeMap::new();
        for name in &listing.names {
            match self.look(directory, name) {
                Ok(Look::Read(pid, stamp)) => {
                    let written = Written {
                        path: path_in_words(place, name),
                        name,
                        pid,
                        stamp,
                        age: Timestamp::now().since(stamp.modified),
                        is_shared: place == self.settings.dir,
                    };
                    self.written(&written, directory, living, found);
                }
                Ok(Look::Gone) => {}
                Ok(Look::TooMuch(user)) => *unread.entry(user).or_insert(0) += 1,
                Err(why) => self.trouble(place, name, &why, living, found),
            }
        }
        for (user, files) in unread {
            let what = format!(
                "{files} monitor files of user {user} in {} are not looked at: that user's have more than the {} MiB that are read \
                 at once, and the agent reads them more slowly",
                place.display(),
                READ_AT_ONCE >> 20
            );
            let remedy = format!(
                "remove the large ones, since HailoRT writes a few KiB: `ls -lS {}`",
                place.display()
            );
            self.find(warn(what, remedy), found);
        }
        true
    }

    /// Looks at a file. One that is just being written is read again.
    fn look(&self, directory: &Directory, name: &OsStr) -> Result<Look, Trouble> {
        match self.look_once(directory, name) {
            Err((_, true)) if directory.stamp(name).is_ok_and(is_young) => {
                std::thread::sleep(WRITE_TIME * 2);
                self.look_once(directory, name).map_err(|(why, _)| why)
            }
            result => result.map_err(|(why, _)| why),
        }
    }

    /// The same; an error with whether it may pass.
    fn look_once(&self, directory: &Directory, name: &OsStr) -> Result<Look, (Trouble, bool)> {
        let unreadable = |error: ReadError| match error {
            ReadError::Gone => Ok(Look::Gone),
            error => Err((Trouble::from(&error), matches!(error, ReadError::Changing))),
        };
        let found = match directory.find(name) {
            Ok(found) => found,
            Err(error) => return unreadable(error),
        };
        let (user, size) = (found.stamp.user, found.stamp.size);
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if size <= MAX_BYTES && !budget.admits_read((directory.id, user), size, Instant::now()) {
            return Ok(Look::TooMuch(user));
        }
        drop(budget);
        let bytes = match found.read() {
            Ok(bytes) => bytes,
            Err(error) => return unreadable(error),
        };
        match decode(&bytes) {
            Ok(message) => claimed_pid(&message.pid, &name.to_string_lossy())
                .map(|pid| Look::Read(pid, found.stamp))
                .ok_or((Trouble::without_id(), false)),
            Err(error) => {
                let is_passing = matches!(error, NotYet::Empty | NotYet::CutOff | NotYet::NoPid);
                Err((Trouble::from(&error), is_passing))
            }
        }
    }

    /// The files without a living writer, in one finding.
    pub(super) fn left_behind(&self) -> Option<Finding> {
        let named = self.left.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
        let more = match self.left.len() {
            0 => return None,
            count if count > MAX_NAMED => format!("; and {} more", count - MAX_NAMED),
            _ => String::new(),
        };
        let what = format!("monitor files without a living writer: {named}{more}");
        let remedy = "remove them: a killed application leaves its file behind";
        Some(Finding::nothing(NAME, what).with_remedy(remedy))
    }

    /// A file that cannot be used.
    fn trouble(&mut self, place: &Path, name: &OsStr, why: &Trouble, living: &mut Living, found: &mut Vec<Finding>) {
        self.stale += 1;
        let path = path_in_words(place, name);
        let pids = named_pid(name)
            .and_then(|pid| living.with_id(pid).ok())
            .unwrap_or_default();
        let Some(&pid) = pids.first() else {
            return self.left.push(format!("{path} {}", why.what));
        };
        self.explained.extend(pids);
        let what = format!("{path} of {} {}", living.name(pid), why.what);
        self.find(warn(what, why.remedy), found);
    }

    fn find(&mut self, finding: Finding, found: &mut Vec<Finding>) {
        self.findings += 1;
        if self.findings <= MAX_FINDINGS {
            found.push(finding);
        }
    }

    fn written(&mut self, file: &Written<'_>, directory: &Directory, living: &mut Living, found: &mut Vec<Finding>) {
        let (authority, stamp) = (directory.authority, file.stamp);
        let user = evident_user(authority, stamp).filter(|_| is_evidence(file.is_shared, stamp, file.name, file.pid));
        let hint = WriterHint {
            pid: file.pid,
            directory: directory.id,
            seen_as: self.settings.seen_as(),
            written: stamp.modified,
            user,
            file: is_kernels(authority).then(|| (file.name.to_owned(), stamp.inode)),
        };
        let limit = self.settings.max_age.unwrap_or(STALE);
        let of_unknown = self.settings.max_age.unwrap_or_else(|| max_age(None));
        let name = &file.path;
        match living.find(&hint) {
            Ok(Writer::One(process)) => self.of_process(file, process, living, found),
            Ok(Writer::None) => {
                self.stale += 1;
                let why = why_not(&hint, living);
                if file.age <= limit {
                    let what = format!("{name} was written just now, by a process that is not there");
                    let what = why.map_or(what.clone(), |why| format!("{what}: {why}"));
                    let remedy = Trouble::unseen(file.age, living.may_be_elsewhere()).remedy;
                    self.find(warn(what, remedy), found);
                } else {
                    let why = why.unwrap_or_else(|| format!("no process with its id {} lives", file.pid));
                    let seconds = file.age.as_secs();
                    self.left
                        .push(format!("{name} was last written {seconds} s ago, and {why}"));
                }
            }
            Ok(Writer::Foreign(_) | Writer::Unproven(_) | Writer::Several(_)) if file.age > of_unknown => {
                self.stale += 1;
            }
            Ok(Writer::Foreign(process)) => {
                self.foreign += 1;
                let Trouble { what, remedy } = Trouble::foreign(process.pid, stamp, authority);
                self.find(warn(format!("{name} {what}; shown without it"), remedy), found);
            }
            Ok(Writer::Unproven(process)) => {
                self.foreign += 1;
                let Trouble { what, remedy } = Trouble::unproven(process.pid);
                self.find(warn(format!("{name} {what}; shown without it"), remedy), found);
            }
            Err(error) if file.age > of_unknown => {
                self.stale += 1;
                let seconds = file.age.as_secs_f64();
                let what = format!(
                    "{name} was last written {seconds:.1} s ago by a process that cannot be looked into, so that its interval \
                     is not known: {error}"
                );
                let remedy = "run the agent as root, with CAP_SYS_PTRACE and the host's PID namespace, or set hailo.max_age to \
                              three intervals";
                self.find(warn(what, remedy), found);
            }
            Ok(Writer::Several(many)) => {
                self.fresh.push(file.pid);
                let what = format!("{name}: {many} processes may be its writer; shown without one");
                let remedy = "give each container a /tmp of its own: do not share /tmp/hmon_files between them";
                self.find(warn(what, remedy), found);
            }
            Err(error) => {
                self.fresh.push(file.pid);
                let what = format!("{name}: its writer cannot be determined: {error}");
                let remedy = "run the agent as root, with CAP_SYS_PTRACE and the host's PID namespace";
                self.find(warn(what, remedy), found);
            }
        }
    }

    fn of_process(&mut self, file: &Written<'_>, process: ProcessKey, living: &mut Living, found: &mut Vec<Finding>) {
        self.explained.insert(process.pid);
        let environment = living.environment(process.pid);
        let interval = environment.as_ref().and_then(Environment::interval);
        let limit = self.settings.max_age.unwrap_or_else(|| max_age(interval));
        let who = format!("{} of {}", file.path, living.name(process.pid));
        let source = match (&environment, interval) {
            (Some(environment), _) if environment.sets_interval() => format!(" ({environment})"),
            (None, _) => "; its environment cannot be read".to_owned(),
            _ => " (the default: it was started without HAILO_MONITOR_TIME_INTERVAL)".to_owned(),
        };
        if file.age > limit {
            self.stale += 1;
            let Trouble { what, remedy } = Trouble::overdue(file.age, interval);
            return self.find(warn(format!("{who} {what}{source}"), remedy), found);
        }
        self.fresh.push(file.pid);
        if file.age > YOUNG || interval.is_none_or(|interval| interval > YOUNG) {
            let every = interval.map_or_else(
                || "at an unknown interval".to_owned(),
                |interval| format!("every {:.1} s", interval.as_secs_f64()),
            );
            let what = format!(
                "{who} was written {:.1} s ago, and is {every}{source}",
                file.age.as_secs_f64()
            );
            self.find(Finding::ok(NAME, what), found);
        }
        if named_pid(file.name).is_some_and(|named| named != file.pid) {
            let what = format!("{who} has another process id in its name than in it");
            self.find(
                warn(what, "none: the id in it counts, and HailoRT writes both alike"),
                found,
            );
        }
    }
}

fn is_young(stamp: Stamp) -> bool {
    Timestamp::now().since(stamp.modified) < WRITE_TIME
}

/// Why the living processes with the id of a file are not its writer.
fn why_not(hint: &WriterHint, living: &mut Living) -> Option<String> {
    let &pid = living.with_id(hint.pid).ok()?.first()?;
    let at_any_time = WriterHint {
        written: Timestamp::from_unix_nanos(u64::MAX),
        ..hint.clone()
    };
    let who = living.name(pid);
    Some(match living.find(&at_any_time) {
        Ok(Writer::None) => format!("{who}, which has its id, sees another directory at its path (a /tmp of its own)"),
        _ => format!("{who}, which has its id, started after that"),
    })
}
