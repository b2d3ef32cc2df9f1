//! Owners of all monitor files: searches for the writers of the fresh ones.

use std::hash::{Hash, Hasher};
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
    searcher: Searcher,
    max_age: Option<Duration>,
    warned_denied: bool,
    warned_unseen: bool,
}

impl Owners {
    pub(super) fn new(settings: &Settings, roots: &HostRoots) -> Self {
        Self {
            searcher: Searcher {
                processes: Processes::new(roots),
                seen_as: settings.seen_as(),
                left: SEARCHES,
            },
            max_age: settings.max_age,
            warned_denied: false,
            warned_unseen: false,
        }
    }

    /// Whether the latest run may have left searches to the next one.
    pub(super) fn is_behind(&self) -> bool {
        self.searcher.left == 0
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
        self.searcher.left = if first_run { FIRST_SEARCHES } else { SEARCHES };
        for monitored in directories {
            self.search(monitored, now, skipped);
            monitored.files.doubt_shared_owners(self.max_age, now);
            for (name, file) in monitored.files.fresh(self.max_age, now) {
                if file.owner.is_shown() {
                    (monitored.directory.id, name, file.owner.process()).hash(shown);
                }
            }
        }
    }

    fn search(&mut self, monitored: &mut Monitored, now: Instant, skipped: &mut Skipped) {
        let directory = monitored.directory.id;
        for (name, file) in monitored.files.all_mut() {
            let Some(latest) = file.latest().filter(|_| file.is_fresh(self.max_age, now)) else {
                continue;
            };
            let (pid, written) = (latest.reading.pid, latest.written);
            let before = file.owner.search;
            match file.owner.update(pid, written, directory, now, &mut self.searcher) {
                // It was written since, so its writer lives.
                Some(Ok(Search::Exited)) if before == Search::Exited => {
                    skipped.add("writer_unseen");
                    if !std::mem::replace(&mut self.warned_unseen, true) {
                        tracing::warn!(
                            file = %name.display(),
                            "a monitor file is written by a process that cannot be seen, and is not shown; give the agent \
                             the host's PID namespace (hostPID: true)"
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
