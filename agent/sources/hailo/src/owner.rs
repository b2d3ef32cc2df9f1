//! The process that writes a monitor file. Searches are rare: the first of a run walks through all of `/proc`.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::directory::DirectoryId;
use super::living::Living;
use accelscope_core::host::writer::{Writer, WriterHint};
use accelscope_core::metric::{ProcessKey, Timestamp};

/// Shortest and longest time between two searches for the owner of one file that found none.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(30);

/// Result of the last search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Search {
    /// None yet.
    #[default]
    Pending,
    /// The writer, which was alive when last checked.
    Found(ProcessKey),
    /// The writer has exited: the file is not shown.
    Exited,
    /// So many processes may be the writer: the file is shown without one.
    Ambiguous(usize),
    /// It claims this process, of another user: the file is shown without one.
    Foreign(ProcessKey),
    /// It claims this process, which is not shown to use HailoRT: the file is shown without one.
    Unproven(ProcessKey),
    /// Processes cannot be inspected: the file is shown without one, by its age alone.
    Denied,
}

/// What other files of the same directory claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Rivals {
    /// None of them its process.
    #[default]
    None,
    /// So many its process, none of which is the likeliest: it is shown without one.
    Alike(usize),
    /// The likelier one is another: it is not shown.
    Likelier,
}

/// What a version of a file says of its writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) pid: u32,
    pub(super) written: Timestamp,
    pub(super) name: &'a OsStr,
    /// Where its writer may see it with another owner.
    pub(super) inode: Option<u64>,
    /// Its owner, where anything shows it.
    pub(super) user: Option<u32>,
    pub(super) directory: DirectoryId,
}

/// The owner of one file, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Owner {
    pub(super) search: Search,
    pub(super) rivals: Rivals,
    /// Whether the file was written since its writer was not found, which lives therefore and cannot be seen.
    pub(super) is_unseen: bool,
    /// Whether that may be for want of the PID namespace that it is in.
    pub(super) may_be_elsewhere: bool,
    /// When its writer was found, and when it was first written since.
    found_at: Option<Instant>,
    confirmed_at: Option<Instant>,
    seen: Option<Timestamp>,
    /// Whether its writer has exited, and another has not been searched for yet.
    is_put_off: bool,
    /// When its owner was first asked for.
    first: Option<Instant>,
    /// When its writer was last known to be alive, and the version of the file then.
    alive: Option<(Instant, Timestamp)>,
    last: Option<Last>,
}

/// Time between two looks whether the writer of a file that is written all the time is alive.
const LOOK: Duration = Duration::from_secs(5);

/// Hint and time of the last search.
#[derive(Debug)]
struct Last {
    pid: u32,
    user: Option<u32>,
    written: Timestamp,
    again: Instant,
    rest: Duration,
}

/// What searches share.
#[derive(Debug)]
pub(super) struct Searcher {
    pub(super) living: Living,
    pub(super) seen_as: Vec<PathBuf>,
    /// Searches left in this run. Files beyond it are searched for in the next.
    pub(super) left: u32,
}

impl Owner {
    /// Whether the file is shown.
    pub(super) const fn is_shown(&self) -> bool {
        match self.search {
            Search::Found(_) => !matches!(self.rivals, Rivals::Likelier),
            Search::Ambiguous(_) | Search::Foreign(_) | Search::Unproven(_) | Search::Denied => true,
            Search::Pending | Search::Exited => false,
        }
    }

    /// The process that wrote it and no other file.
    pub(super) const fn process(&self) -> Option<ProcessKey> {
        match (self.search, self.rivals) {
            (Search::Found(process), Rivals::None) => Some(process),
            _ => None,
        }
    }

    /// The process that was found, and whether it is time to look whether it is alive: one that has just written is.
    pub(super) fn found(&mut self, written: Timestamp, now: Instant) -> Option<(ProcessKey, bool)> {
        let Search::Found(process) = self.search else {
            self.alive = None;
            return None;
        };
        let has_written = |(looked, last): (Instant, Timestamp)| now < looked + LOOK && last != written;
        let is_due = !self.alive.is_some_and(has_written);
        let looked = self.alive.filter(|_| !is_due).map_or(now, |(looked, _)| looked);
        self.alive = Some((looked, written));
        Some((process, is_due))
    }

    /// The process that it claims, and that writes a likelier file.
    pub(super) const fn claimed(&self) -> Option<ProcessKey> {
        match (self.search, self.rivals) {
            (Search::Found(process), Rivals::Likelier) => Some(process),
            _ => None,
        }
    }

    /// Whether several processes, or a process that seems to write several files, may be its writer.
    pub(super) const fn is_ambiguous(&self) -> bool {
        matches!(self.search, Search::Ambiguous(_))
            || matches!((self.search, self.rivals), (Search::Found(_), Rivals::Alike(_)))
    }

    /// Whether it is not of the process that it claims, as far as can be seen.
    pub(super) const fn is_foreign(&self) -> bool {
        matches!(self.search, Search::Foreign(_) | Search::Unproven(_))
    }

    /// Since when it has waited for a search, or until when it is to wait; `None` for a new one.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.last.as_ref().map(|last| last.again).or(self.first)
    }

    /// Whether it may want a search now.
    pub(super) fn may_want_search(&self, now: Instant) -> bool {
        !matches!(self.search, Search::Found(_)) && self.waits_since().is_none_or(|since| since <= now)
    }

    /// When its process was found.
    pub(super) const fn found_at(&self) -> Option<Instant> {
        self.found_at
    }

    /// When it was first written again since its process was found.
    pub(super) const fn confirmed_at(&self) -> Option<Instant> {
        self.confirmed_at
    }

    /// Searches again where something has changed: the process has exited, the file has another process id or owner, or a
    /// file without a writer was written. Returns `None` if there was no search.
    pub(super) fn update(
        &mut self,
        claim: &Claim<'_>,
        now: Instant,
        searcher: &mut Searcher,
    ) -> Option<io::Result<Search>> {
        let &Claim { pid, written, user, .. } = claim;
        if self
            .last
            .as_ref()
            .is_some_and(|last| (last.pid, last.user) != (pid, user))
        {
            *self = Self::default();
        }
        self.first = self.first.or(Some(now));
        if self.seen.replace(written) != Some(written) {
            self.confirmed_at = self.confirmed_at.or(self.found_at.map(|_| now));
        }
        let due = self.last.as_ref().is_none_or(|last| now >= last.again);
        let written_since = self.last.as_ref().is_none_or(|last| last.written != written);
        let had_exited = self.search == Search::Exited && !std::mem::take(&mut self.is_put_off);
        let search = match self.search {
            Search::Pending => true,
            Search::Found(process) if searcher.living.is_alive(process) => false,
            Search::Found(_) => {
                self.search = Search::Exited;
                written_since
            }
            Search::Exited => written_since && due,
            Search::Ambiguous(_) | Search::Foreign(_) | Search::Unproven(_) | Search::Denied => due,
        };
        if !search {
            return None;
        }
        if searcher.left == 0 || !searcher.living.may_search() {
            self.is_put_off = self.search == Search::Exited && !had_exited;
            return None;
        }
        searcher.left -= 1;
        let hint = WriterHint {
            pid,
            directory: claim.directory,
            seen_as: searcher.seen_as.clone(),
            written,
            user,
            file: claim.inode.map(|inode| (claim.name.to_owned(), inode)),
        };
        let found = searcher.living.find(&hint);
        // Each process whose proof had to be looked at counts as a search.
        searcher.left = searcher.left.saturating_sub(searcher.living.proofs.take_looks());
        self.search = match found {
            Ok(Writer::One(process)) => Search::Found(process),
            Ok(Writer::None) => Search::Exited,
            Ok(Writer::Several(candidates)) => Search::Ambiguous(candidates),
            Ok(Writer::Foreign(process)) => Search::Foreign(process),
            Ok(Writer::Unproven(process)) => Search::Unproven(process),
            Err(_) => Search::Denied,
        };
        (self.found_at, self.confirmed_at) = (Some(now), None);
        self.is_unseen = had_exited && self.search == Search::Exited;
        self.may_be_elsewhere = self.search == Search::Exited && searcher.living.may_be_elsewhere();
        let rest = match (&self.search, &self.last) {
            (Search::Found(_), _) | (_, None) => SOONEST,
            (_, Some(last)) => (last.rest * 2).min(LATEST),
        };
        self.last = Some(Last {
            pid,
            user,
            written,
            again: now + rest,
            rest,
        });
        Some(found.map(|_| self.search))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::directory::identity;
    use super::*;
    use accelscope_core::host::HostRoots;
    use accelscope_core::host::process::Processes;

    fn searcher(root: &str, dir: &Path) -> (Searcher, DirectoryId) {
        let searcher = Searcher {
            living: Living::new(&HostRoots::new(root)),
            seen_as: vec![dir.to_owned()],
            left: 8,
        };
        (searcher, identity(&std::fs::metadata(dir).unwrap()))
    }

    /// What a file of ours says.
    fn claim(pid: u32, written: Timestamp, directory: DirectoryId) -> Claim<'static> {
        Claim {
            pid,
            written,
            name: OsStr::new("1abcdef"),
            inode: Some(1),
            user: Some(rustix::process::geteuid().as_raw()),
            directory,
        }
    }

    #[test]
    fn the_file_of_a_killed_process_has_no_owner_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(&HostRoots::new("/"));
        let (mut searcher, id) = searcher("/", dir.path());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("HAILO_MONITOR", "1")
            .spawn()
            .unwrap();
        let (written, now) = (Timestamp::now(), Instant::now());
        let first = claim(child.id(), written, id);
        searcher.living.forget();
        let mut owner = Owner::default();
        let found = owner.update(&first, now, &mut searcher).unwrap().unwrap();
        assert_eq!(found, Search::Found(processes.key(child.id()).unwrap()));
        assert!(
            owner.update(&first, now, &mut searcher).is_none(),
            "the owner is not searched for again"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(owner.update(&first, now, &mut searcher).is_none());
        assert_eq!(owner.search, Search::Exited);
        assert!(!owner.is_unseen);
        let later = claim(child.id(), Timestamp::from_unix_nanos(written.unix_nanos() + 1), id);
        owner.update(&later, now + SOONEST, &mut searcher).unwrap().unwrap();
        assert_eq!(owner.search, Search::Exited, "no process can have written it");
        assert!(owner.is_unseen);
        assert!(
            owner.update(&later, now + LATEST, &mut searcher).is_none(),
            "nor has any since"
        );
        // Where there are containers, only who is shown to use a Hailo is a writer.
        let _device = std::fs::File::open("/dev/full").unwrap();
        searcher.living.proofs.devices = [rustix::fs::makedev(1, 7)].into();
        let ours = claim(std::process::id(), Timestamp::now(), id);
        let found = owner.update(&ours, now, &mut searcher).unwrap().unwrap();
        assert_eq!(
            found,
            Search::Found(processes.key(std::process::id()).unwrap()),
            "another process claims it"
        );
        let of_another = Claim {
            user: ours.user.map(|user| user + 1),
            ..ours
        };
        owner.update(&of_another, now, &mut searcher).unwrap().unwrap();
        assert!(owner.is_foreign() && owner.process().is_none(), "its file was replaced");
    }

    #[test]
    fn a_search_that_must_wait_is_made_up_for_and_hides_no_exit() {
        let dir = tempfile::tempdir().unwrap();
        let (mut searcher, id) = searcher("/", dir.path());
        let (mut owner, now) = (Owner::default(), Instant::now());
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env("HAILO_MONITOR", "1")
            .spawn()
            .unwrap();
        let written = Timestamp::now();
        let first = claim(child.id(), written, id);
        searcher.living.exhaust();
        assert!(owner.update(&first, now, &mut searcher).is_none());
        assert_eq!((owner.search, owner.waits_since()), (Search::Pending, Some(now)));
        searcher.living.forget();
        searcher.living.must_search();
        owner.update(&first, now, &mut searcher).unwrap().unwrap();
        assert!(matches!(owner.search, Search::Found(_)));
        assert!(!owner.may_want_search(now));
        child.kill().unwrap();
        child.wait().unwrap();
        // It wrote once more before its end.
        let last = claim(child.id(), Timestamp::from_unix_nanos(written.unix_nanos() + 1), id);
        searcher.living.forget();
        searcher.living.exhaust();
        assert!(owner.update(&last, now + SOONEST, &mut searcher).is_none());
        searcher.living.forget();
        searcher.living.must_search();
        owner.update(&last, now + SOONEST, &mut searcher).unwrap().unwrap();
        assert_eq!(owner.search, Search::Exited);
        assert!(!owner.is_unseen, "nothing was written since its end was seen");
    }

    #[test]
    fn an_unreadable_proc_hides_the_owner_and_not_the_file() {
        let (mut searcher, id) = searcher("/nonexistent", Path::new("/tmp"));
        let mut owner = Owner::default();
        let claim = claim(7, Timestamp::now(), id);
        assert!(owner.update(&claim, Instant::now(), &mut searcher).unwrap().is_err());
        assert_eq!(owner.search, Search::Denied);
    }

    #[test]
    fn searches_of_a_run_are_bounded() {
        let (mut searcher, id) = searcher("/", Path::new("/tmp"));
        searcher.left = 0;
        let mut owner = Owner::default();
        let claim = claim(7, Timestamp::now(), id);
        assert!(owner.update(&claim, Instant::now(), &mut searcher).is_none());
        assert_eq!(owner.search, Search::Pending);
    }
}
