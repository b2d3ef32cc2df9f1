//! Owners of all monitor files: searches for the writers of the fresh ones.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::monitored::Monitored;
use super::owner::{Search, Searcher};
use super::settings::Settings;
use super::skipped::Skipped;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;

/// Most searches in one run; each walks through `/proc`.
const SEARCHES: u32 = 8;
/// Limit of searches in the first run, so that its result is complete.
const FIRST_SEARCHES: u32 = 256;

/// Searches for owners.
#[derive(Debug)]
pub(super) struct Owners {
    processes: Processes,
    seen_as: Vec<PathBuf>,
    max_age: Option<Duration>,
    warned_denied: bool,
    warned_unseen: bool,
}

impl Owners {
    pub(super) fn new(settings: &Settings, roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            seen_as: settings.seen_as(),
            max_age: settings.max_age,
            warned_denied: false,
            warned_unseen: false,
        }
    }

    /// Searches for the owners of the fresh files. `shown` becomes a digest of the files that are shown and their owners.
    pub(super) fn update<'a>(
        &mut self,
        directories: impl Iterator<Item = &'a mut Monitored>,
        first_run: bool,
        now: Instant,
        skipped: &mut Skipped,
        shown: &mut impl Hasher,
    ) {
        let mut left = if first_run { FIRST_SEARCHES } else { SEARCHES };
        for monitored in directories {
            left = self.search(monitored, left, now, skipped);
            monitored.files.doubt_shared_owners(self.max_age, now);
            for (name, file) in monitored.files.fresh(self.max_age, now) {
                if file.owner.is_shown() {
                    (monitored.directory.id, name, file.owner.process()).hash(shown);
                }
            }
        }
    }

    /// Returns how many searches are left.
    fn search(&mut self, monitored: &mut Monitored, left: u32, now: Instant, skipped: &mut Skipped) -> u32 {
        let mut searcher = Searcher {
            processes: &self.processes,
            directory: monitored.directory.id,
            seen_as: &self.seen_as,
            left,
        };
        for (name, file) in monitored.files.all_mut() {
            if !file.is_fresh(self.max_age, now) {
                continue;
            }
            let Some((pid, written)) = file.latest().map(|latest| (latest.reading.pid, latest.written)) else {
                continue;
            };
            let before = file.owner.search;
            match file.owner.update(pid, written, now, &mut searcher) {
                // It was written since, so its writer lives.
                Some(Ok(Search::Exited)) if before == Search::Exited => {
                    skipped.add("writer_unseen");
                    warn_unseen(&mut self.warned_unseen, name);
                }
                Some(Ok(Search::Exited)) => {
                    tracing::debug!(file = %name.display(), pid, "no process fits: the file's writer has ended");
                    skipped.add("writer_ended");
                }
                Some(Ok(Search::Ambiguous(candidates))) => {
                    tracing::debug!(file = %name.display(), pid, candidates, "the file's writer is ambiguous");
                }
                Some(Err(error)) => warn_denied(&mut self.warned_denied, &error),
                _ => {}
            }
        }
        searcher.left
    }
}

fn warn_denied(warned: &mut bool, error: &io::Error) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            %error,
            "cannot look into processes: Hailo readings are shown without process, container and pod, and by the age of \
             their file alone; run the agent as root with CAP_SYS_PTRACE and the host's PID namespace"
        );
    }
}

fn warn_unseen(warned: &mut bool, name: &OsStr) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(
            file = %name.display(),
            "a monitor file is written by a process that cannot be seen, and is not shown; give the agent the host's PID \
             namespace (hostPID: true)"
        );
    }
}
