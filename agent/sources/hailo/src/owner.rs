//! Whose a monitor file is, looked for as seldom as can be: each search walks through all of `/proc`.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::directory::DirectoryId;
use accelscope_core::host::process::Processes;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::{ProcessKey, Timestamp};

/// Shortest and longest time between two searches for one file that gave nothing.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// The answer to "whose is it?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Owned {
    /// Not looked for yet.
    #[default]
    Unsought,
    /// This process', which lived when it was last looked at.
    By(ProcessKey),
    /// Its writer has ended: the file is not shown.
    Ended,
    /// So many processes may be its writer: shown without one.
    Several(usize),
    /// Processes cannot be looked into: shown without one, by its age alone.
    Hidden,
}

impl Owned {
    pub(super) const fn is_shown(self) -> bool {
        matches!(self, Self::By(_) | Self::Several(_) | Self::Hidden)
    }

    pub(super) const fn process(self) -> Option<ProcessKey> {
        match self {
            Self::By(process) => Some(process),
            _ => None,
        }
    }
}

/// What is known of a file's writer.
#[derive(Debug, Default)]
pub(super) struct Owner {
    pub(super) owned: Owned,
    sought: Option<Sought>,
}

#[derive(Debug)]
struct Sought {
    pid: u32,
    written: Timestamp,
    again: Instant,
    rest: Duration,
}

/// What a search needs.
pub(super) struct Search<'a> {
    pub(super) processes: &'a Processes,
    pub(super) directory: DirectoryId,
    pub(super) seen_as: &'a [PathBuf],
    /// Searches that are left in this run. What is not searched for now is in the next.
    pub(super) left: u32,
}

impl Owner {
    /// `files` of one directory are said to be this one's process', which writes but one: all the others were left behind
    /// by processes of the same id. Which of them is not told by any, so that this one is nobody's for now.
    pub(super) const fn doubt(&mut self, files: usize) {
        self.owned = Owned::Several(files);
    }

    /// Looks again where something has changed: the process has ended, another one claims the file, a file that was
    /// thought to be left behind was written. `Some` where there was a search.
    pub(super) fn update(
        &mut self,
        pid: u32,
        written: Timestamp,
        now: Instant,
        search: &mut Search<'_>,
    ) -> Option<io::Result<Owned>> {
        let changed = self.sought.as_ref().is_none_or(|sought| sought.pid != pid);
        if changed {
            *self = Self::default();
        }
        let due = self.sought.as_ref().is_none_or(|sought| now >= sought.again);
        let written_since = self.sought.as_ref().is_none_or(|sought| sought.written != written);
        let seek = match self.owned {
            Owned::Unsought => true,
            Owned::By(process) if search.processes.is_alive(process) => false,
            // The file of a process that has ended is nobody's until somebody writes it again.
            Owned::By(_) => {
                self.owned = Owned::Ended;
                written_since
            }
            Owned::Ended => written_since && due,
            Owned::Several(_) | Owned::Hidden => due,
        };
        if !seek || search.left == 0 {
            return None;
        }
        search.left -= 1;
        let hint = WriterHint {
            pid,
            directory: search.directory,
            seen_as: search.seen_as.to_vec(),
            written,
        };
        let found = writer::find(search.processes, &hint);
        self.owned = match found {
            Ok(Writer::One(process)) => Owned::By(process),
            Ok(Writer::None) => Owned::Ended,
            Ok(Writer::Several(candidates)) => Owned::Several(candidates),
            Err(_) => Owned::Hidden,
        };
        let rest = match (&self.owned, &self.sought) {
            (Owned::By(_), _) | (_, None) => SOONEST,
            (_, Some(before)) => (before.rest * 2).min(LATEST),
        };
        self.sought = Some(Sought {
            pid,
            written,
            again: now + rest,
            rest,
        });
        Some(found.map(|_| self.owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::host::HostRoots;

    fn search<'a>(processes: &'a Processes, dir: &std::path::Path, seen_as: &'a [PathBuf]) -> Search<'a> {
        let stat = rustix::fs::stat(dir).unwrap();
        Search {
            processes,
            directory: (stat.st_dev, stat.st_ino),
            seen_as,
            left: 8,
        }
    }

    #[test]
    fn a_killed_writers_file_is_nobodys_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(&HostRoots::new("/"));
        let seen_as = [dir.path().to_owned()];
        let mut search = search(&processes, dir.path(), &seen_as);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let (written, now) = (Timestamp::now(), Instant::now());
        let mut owner = Owner::default();
        let found = owner.update(child.id(), written, now, &mut search).unwrap().unwrap();
        assert_eq!(found, Owned::By(processes.key(child.id()).unwrap()));
        assert!(
            owner.update(child.id(), written, now, &mut search).is_none(),
            "known ones are not looked for again"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(owner.update(child.id(), written, now, &mut search).is_none());
        assert_eq!(owner.owned, Owned::Ended);
        let later = Timestamp::from_unix_nanos(written.unix_nanos() + 1);
        owner
            .update(child.id(), later, now + SOONEST, &mut search)
            .unwrap()
            .unwrap();
        assert_eq!(owner.owned, Owned::Ended, "nobody is there to have written it");
        assert!(
            owner.update(child.id(), later, now + LATEST, &mut search).is_none(),
            "nor has anybody since"
        );
        let ours = owner
            .update(std::process::id(), Timestamp::now(), now, &mut search)
            .unwrap()
            .unwrap();
        assert_eq!(
            ours,
            Owned::By(processes.key(std::process::id()).unwrap()),
            "another process claims it"
        );
    }

    #[test]
    fn an_unreadable_proc_hides_the_owner_and_not_the_file() {
        let nowhere = Processes::new(&HostRoots::new("/nonexistent"));
        let mut search = search(&nowhere, std::path::Path::new("/tmp"), &[]);
        let mut owner = Owner::default();
        assert!(
            owner
                .update(7, Timestamp::now(), Instant::now(), &mut search)
                .unwrap()
                .is_err()
        );
        assert_eq!(owner.owned, Owned::Hidden);
    }

    #[test]
    fn searches_of_a_run_are_bounded() {
        let processes = Processes::new(&HostRoots::new("/"));
        let mut search = search(&processes, std::path::Path::new("/tmp"), &[]);
        search.left = 0;
        let mut owner = Owner::default();
        assert!(owner.update(7, Timestamp::now(), Instant::now(), &mut search).is_none());
        assert_eq!(owner.owned, Owned::Unsought);
    }
}
