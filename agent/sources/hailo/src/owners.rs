//! Owners of all monitor files: searches for the writers of the fresh ones, and of those that may be written seldom.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use super::directory::Stamp;
use super::file_name::{named_pid, path_in_words};
use super::living::Living;
use super::monitored::Monitored;
use super::owner::{Claim, Search, Searcher};
use super::settings::Settings;
use super::skipped::Skipped;
use super::trouble::Trouble;
use accelscope_core::host::HostRoots;
use accelscope_core::host::authority::Authority;
use accelscope_core::host::writer::OVERFLOW_USER;

/// Most searches in one run. All of them list the processes once together.
const SEARCHES: u32 = 32;
/// Limit of searches in the first run, so that its result is complete.
const FIRST_SEARCHES: u32 = 256;

/// Most runs in a row that come sooner because the last one has left searches.
const HURRIES: u32 = 16;

/// Searches for owners.
#[derive(Debug)]
pub(super) struct Owners {
    searcher: Searcher,
    max_age: Option<Duration>,
    hurries: u32,
    turn: usize,
    warned_denied: bool,
    warned_unseen: bool,
    /// Of a file of another user than the process that it claims, and of a process without proof.
    warned_of_claims: [bool; 2],
}

impl Owners {
    pub(super) fn new(settings: &Settings, roots: &HostRoots) -> Self {
        Self {
            searcher: Searcher {
                living: Living::new(roots),
                seen_as: settings.seen_as(),
                left: SEARCHES,
            },
            max_age: settings.max_age,
            hurries: HURRIES,
            turn: 0,
            warned_denied: false,
            warned_unseen: false,
            warned_of_claims: [false; 2],
        }
    }

    /// Whether the latest run may have left searches to the next one, which is to come soon: not for ever, since each run that
    /// searches walks through `/proc`.
    pub(super) fn is_behind(&self) -> bool {
        self.searcher.left == 0 && self.hurries > 0
    }

    /// The living processes, as they were at the start of the run.
    pub(super) const fn living(&mut self) -> &mut Living {
        &mut self.searcher.living
    }

    /// Searches for the owners of the files. `shown` becomes a digest of the files that are shown and their owners.
    pub(super) fn update<'a>(
        &mut self,
        directories: impl Iterator<Item = &'a mut Monitored>,
        first_run: bool,
        now: Instant,
        skipped: &mut Skipped,
        shown: &mut impl Hasher,
    ) {
        self.hurries = if self.searcher.left > 0 {
            HURRIES
        } else {
            self.hurries.saturating_sub(1)
        };
        self.searcher.left = if first_run { FIRST_SEARCHES } else { SEARCHES };
        if first_run {
            self.searcher.living.must_search();
        }
        let mut directories: Vec<_> = directories.collect();
        let files = directories.iter_mut().flat_map(|monitored| monitored.files.all_mut());
        let found = files.filter_map(|(_, file)| {
            let written = file.latest()?.written;
            file.owner.found(written, now)
        });
        self.searcher.living.look_at(found.collect());
        // Each is the first one in turn: one that takes all searches does not keep them from the others.
        let count = directories.len();
        self.turn = self.turn.wrapping_add(1);
        for nth in 0..count {
            self.search(directories[self.turn.wrapping_add(nth) % count], now, skipped);
        }
        for monitored in directories {
            monitored.files.compare_rivals(self.max_age, now);
            for (name, file) in monitored.files.fresh(self.max_age, now) {
                if file.owner.is_shown() {
                    (monitored.directory.id, name, file.owner.process()).hash(shown);
                }
            }
        }
    }

    fn search(&mut self, monitored: &mut Monitored, now: Instant, skipped: &mut Skipped) {
        let directory = &monitored.directory;
        let (id, authority, is_shared) = (directory.id, directory.authority, monitored.is_shared);
        // The fresh ones first, of the others only those of seldom writers matter; of each user one in turn; and those first that have
        // waited longest, which new ones do not overtake.
        let mut of_user = BTreeMap::<_, usize>::new();
        let mut files: Vec<_> = monitored.files.all_mut().collect();
        files.sort_by_key(|(_, file)| file.owner.waits_since().unwrap_or(now));
        files.sort_by_cached_key(|(_, file)| {
            let is_fresh = file.is_fresh(self.max_age, now);
            if !file.owner.may_want_search(now) {
                return (!is_fresh, 0);
            }
            let nth = of_user.entry((is_fresh, file.user())).or_default();
            *nth += 1;
            (!is_fresh, *nth)
        });
        for (name, file) in files {
            let is_fresh = file.is_fresh(self.max_age, now);
            let (Some(latest), Some(stamp)) = (file.latest(), file.stamp()) else {
                continue;
            };
            let pid = latest.reading.pid;
            let user = evident_user(authority, stamp).filter(|_| is_evidence(is_shared, stamp, name, pid));
            let claim = Claim {
                pid,
                written: latest.written,
                name,
                inode: is_kernels(authority).then_some(stamp.inode),
                user,
                directory: id,
            };
            let before = file.owner.search;
            let is_unknown = matches!(before, Search::Pending | Search::Found(_));
            if !(is_fresh || is_unknown && file.may_be_seldom_written(now)) {
                continue;
            }
            let found = file.owner.update(&claim, now, &mut self.searcher);
            if let Search::Found(process) = file.owner.search
                && !file.is_expected_of(process)
            {
                let environment = self.searcher.living.environment(process.pid);
                file.expect(process, environment.and_then(|environment| environment.interval()));
            }
            match found {
                _ if !is_fresh => {}
                // It was written since, so its writer lives.
                Some(Ok(Search::Exited)) if file.owner.is_unseen => {
                    skipped.add("writer_unseen");
                    if !std::mem::replace(&mut self.warned_unseen, true) {
                        let remedy = Trouble::unseen(Duration::ZERO, file.owner.may_be_elsewhere).remedy;
                        tracing::warn!(
                            file = %name.display(),
                            pid,
                            "a monitor file is written, and not by a process that is there with its id: it is not shown; {remedy}"
                        );
                    }
                }
                Some(Ok(Search::Exited)) => {
                    tracing::debug!(file = %name.display(), pid, "no process fits: the file's writer has ended");
                    skipped.add("writer_ended");
                }
                Some(Ok(Search::Ambiguous(candidates))) => {
                    tracing::debug!(file = %name.display(), pid, candidates, "the file's writer is ambiguous");
                }
                Some(Ok(Search::Foreign(process) | Search::Unproven(process))) => {
                    tracing::debug!(file = %name.display(), pid = process.pid, "the file is not of the process that it claims");
                    let is_foreign = matches!(file.owner.search, Search::Foreign(_));
                    let warned = &mut self.warned_of_claims[usize::from(!is_foreign)];
                    if !std::mem::replace(warned, true) {
                        let path = path_in_words(&monitored.place, name);
                        let why = if is_foreign {
                            Trouble::foreign(process.pid, stamp, authority)
                        } else {
                            Trouble::unproven(process.pid)
                        };
                        tracing::warn!(
                            "{path} {}: its values are shown without process, container and pod; {}",
                            why.what,
                            why.remedy
                        );
                    }
                }
                Some(Err(error)) if !std::mem::replace(&mut self.warned_denied, true) => {
                    tracing::warn!(
                        %error,
                        "cannot look into processes: Hailo readings are shown without process, container and pod, and by \
                         the age of their file alone; run the agent as root with CAP_SYS_PTRACE and the host's PID \
                         namespace"
                    );
                }
                _ => {}
            }
        }
    }
}

/// Whether the owner of a file says who wrote it.
///
/// In the directory of the host every user can reach what every user may write to. HailoRT 5.3 makes its own files so
/// (`LockedFile::create`, mode 0666), with the process id in their names: who made such a file is still known, though
/// another user may have changed what is in it.
pub(super) fn is_evidence(is_shared: bool, stamp: Stamp, name: &OsStr, pid: u32) -> bool {
    !(is_shared && stamp.is_open) || named_pid(name) == Some(pid)
}

/// Whose the file is by what its file system says; `None` where that says nothing.
pub(super) fn evident_user(authority: Authority, stamp: Stamp) -> Option<u32> {
    match authority {
        Authority::Machine => Some(stamp.user),
        Authority::User(user) => Some(user),
        // The stand-in for users that the namespace does not have is a user of the machine too.
        Authority::Namespace => Some(stamp.user).filter(|user| *user != OVERFLOW_USER),
        Authority::Unknown => None,
    }
}

/// Whether nobody else than the machine can give the file another owner where its writer sees it.
pub(super) fn is_kernels(authority: Authority) -> bool {
    authority == Authority::Machine
}
