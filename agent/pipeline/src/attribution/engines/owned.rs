//! Whether root alone decides what is at a path: only then it speaks for root's engine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use accelscope_core::trust::{self, Start, Writers};
use rustix::fs::{Mode, OFlags};

/// Bits of the mode of a program that runs as its owner or group, whoever starts it.
const SET_ID: u32 = 0o6000;

/// Why it does not speak for root.
#[derive(Debug)]
pub(super) enum Refused {
    /// Of another user.
    Foreign(PathBuf, u32),
    /// On a file system of another user.
    Served(PathBuf, Option<u32>),
    /// Others may write to it.
    Writable(PathBuf, Writers),
    Unseen(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(path, user) => write!(
                formatter,
                "{} belongs to user {user}, who could name root's containers there: `chown root` it, or move the engine's \
                 files to where only root can write",
                path.display()
            ),
            Self::Served(path, user) => write!(
                formatter,
                "{} is in a FUSE file system of {}, who could name root's containers there: move the engine's files to one of \
                 the machine, or have root mount it",
                path.display(),
                user.map_or_else(|| "somebody".to_owned(), |user| format!("user {user}"))
            ),
            Self::Writable(path, writers) => write!(
                formatter,
                "{} ({writers}) can be written by others than root, who could name root's containers there: `{} {0}`",
                path.display(),
                writers.remedy()
            ),
            Self::Unseen(error) => error.fmt(formatter),
        }
    }
}

impl From<trust::Refused> for Refused {
    fn from(refused: trust::Refused) -> Self {
        match refused {
            trust::Refused::Foreign { path, owner, .. } => Self::Foreign(path, owner),
            trust::Refused::Served { path, user, .. } => Self::Served(path, user),
            trust::Refused::Writable { path, writers, .. } => Self::Writable(path, writers),
            trust::Refused::Unseen(_, error) => Self::Unseen(error),
            other => Self::Unseen(io::Error::other(other)),
        }
    }
}

/// Whether nobody but root (and this process' user) can change, exchange or add to what is at `path`, with links resolved as for a
/// process whose root is where it starts.
pub(super) fn check(start: &Start, path: &Path) -> Result<(), Refused> {
    Ok(trust::check_owned(start, path)?)
}

/// Whether the program that a process runs is root's, and runs as whoever starts it: one that runs as root for everybody
/// (su, sudo) may have been started by anybody, under any name.
pub(super) fn is_roots_program(exe: &Path) -> bool {
    let is_roots = || -> io::Result<bool> {
        let program = rustix::fs::open(exe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = rustix::fs::fstat(&program)?;
        Ok(trust::is_ours(stat.st_uid) && stat.st_mode & SET_ID == 0 && trust::writers(&program, &stat)?.is_none())
    };
    is_roots().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use accelscope_core::host::HostRoots;

    use super::*;

    fn host() -> (tempfile::TempDir, HostRoots) {
        let directory = tempfile::tempdir().unwrap();
        let roots = HostRoots::new(directory.path());
        std::fs::create_dir_all(roots.path("/srv/open/docker")).unwrap();
        std::fs::create_dir_all(roots.path("/srv/own/docker")).unwrap();
        std::fs::create_dir_all(roots.path("/tmp/docker")).unwrap();
        let set = |path: &str, mode| {
            std::fs::set_permissions(roots.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set("/srv/open", 0o777);
        set("/tmp", 0o1777);
        symlink("/srv/open/docker", roots.path("/srv/own/to-open")).unwrap();
        symlink("../own/docker", roots.path("/srv/own/to-own")).unwrap();
        symlink("circle", roots.path("/srv/circle")).unwrap();
        (directory, roots)
    }

    #[test]
    fn what_others_can_exchange_does_not_speak_for_root() {
        let (_directory, roots) = host();
        let start = Start::at(roots.path("/"));
        for path in ["/srv/own/docker", "/srv/own/to-own", "/tmp/docker", "/srv/open/../own"] {
            let checked = check(&start, Path::new(path));
            let is_through_open = path.contains("open");
            assert_eq!(checked.is_err(), is_through_open, "{path}: {checked:?}");
        }
        for path in ["/srv/open/docker", "/srv/own/to-open", "/tmp"] {
            let checked = check(&start, Path::new(path));
            assert!(matches!(checked, Err(Refused::Writable(..))), "{path}: {checked:?}");
        }
        for path in ["/srv/circle", "/srv/nothing"] {
            let checked = check(&start, Path::new(path));
            assert!(matches!(checked, Err(Refused::Unseen(_))), "{path}: {checked:?}");
        }
    }

    #[test]
    fn a_program_that_runs_as_root_for_everybody_is_nobodys_engine() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("containerd");
        std::fs::write(&program, "").unwrap();
        for (mode, is_engine) in [(0o755, true), (0o4755, false), (0o2755, false), (0o757, false)] {
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_roots_program(&program), is_engine, "{mode:o}");
        }
    }
}
