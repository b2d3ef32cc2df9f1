//! Calls that look for a directory and open it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use inotify::{WatchDescriptor, Watches};

use super::directory::{Directory, DirectoryId, IN_ROOT, identity};
use super::watch;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::ProcessKey;

/// What was found.
#[derive(Debug)]
pub(super) enum Probe {
    /// The one that is held.
    Same,
    /// None, and the watch for it to appear, if that could be added.
    Absent(Option<WatchDescriptor>),
    /// One that was removed and has its name still.
    Deleted,
    /// It cannot be opened.
    Closed(io::Error),
    Opened(Directory),
}

/// Looks for the directory, unless it is the one that is held. Where there is none, adds a watch for it to appear, if `watches`
/// is given.
pub(super) fn look_for(roots: &HostRoots, dir: &Path, held: Option<DirectoryId>, watches: Option<&Watches>) -> Probe {
    let absent = || {
        let parent = watches.zip(dir.parent());
        Probe::Absent(parent.and_then(|(watches, parent)| watch::add_parent(watches, roots.path(parent)).ok()))
    };
    let there = match std::fs::symlink_metadata(roots.path(dir)) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Probe::Closed(error),
        Err(_) => return absent(),
    };
    if held == Some(identity(&there)) && there.nlink() > 0 {
        return Probe::Same;
    }
    match Directory::configured(roots, dir) {
        Ok(directory) if directory.is_deleted() => Probe::Deleted,
        Ok(directory) => Probe::Opened(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(),
        Err(error) => Probe::Closed(error),
    }
}

/// The directory in a view, if there is one.
pub(super) fn open_in_view(processes: &Processes, holders: &[ProcessKey]) -> io::Result<Option<(Directory, PathBuf)>> {
    let mut failed = None;
    for holder in holders {
        let root = processes.path(holder.pid, "root");
        match Directory::in_namespace(processes, holder.pid) {
            Ok(directory) if directory.is_deleted() => {}
            Ok(directory) => return Ok(Some((directory, root.join(IN_ROOT)))),
            Err(error) => {
                tracing::trace!(pid = holder.pid, %error, "no monitor files in the view of a device's user");
                // Without the directory, or after the end of the process, there are none.
                let is_none = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
                failed = failed.or(Some(error).filter(|_| !is_none));
            }
        }
    }
    failed.map_or(Ok(None), Err)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_view_without_the_directory_has_no_files_and_one_that_cannot_be_opened_may() {
        let host = tempfile::tempdir().unwrap();
        let processes = Processes::new(&HostRoots::new(host.path()));
        let holder = |pid| ProcessKey { pid, start_ticks: 1 };
        let root = |pid: u32| host.path().join(format!("proc/{pid}/root"));
        for (pid, directory) in [(7, "tmp/hmon_files"), (8, "tmp"), (9, "real/hmon_files")] {
            std::fs::create_dir_all(root(pid).join(directory)).unwrap();
        }
        symlink("real", root(9).join("tmp")).unwrap();
        let opened = |pids: &[u32]| {
            let holders: Vec<_> = pids.iter().copied().map(holder).collect();
            open_in_view(&processes, &holders).map(|found| found.map(|(_, place)| place))
        };
        let found = root(7).join("tmp/hmon_files");
        assert_eq!(opened(&[7]).unwrap(), Some(found.clone()));
        assert_eq!(opened(&[8, 10]).unwrap(), None);
        assert!(opened(&[9, 8]).is_err());
        assert_eq!(opened(&[9, 7]).unwrap(), Some(found));
    }
}
