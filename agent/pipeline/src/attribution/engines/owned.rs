//! Whether root alone decides what is at a path: only then it speaks for root's engine.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use accelscope_core::host::HostRoots;
use accelscope_core::host::beneath::DIRECTORY;
use accelscope_core::host::bounded::read_bounded;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Most links on the way to a file, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Bits of a mode: writable by the group, by all, and the directory in which everyone may only remove what is his.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// Bits of the mode of a program that runs as its owner or group, whoever starts it.
const SET_ID: u32 = 0o6000;
/// `FUSE_SUPER_MAGIC` (`include/uapi/linux/magic.h`).
const FUSE: u32 = 0x6573_5546;
/// Longest list of mounts that is read.
const MAX_MOUNTS: usize = 16 << 20;

/// Why it does not speak for root.
#[derive(Debug)]
pub(super) enum Refused {
    /// Of another user, or on a file system of his.
    Foreign(PathBuf, u32),
    /// Others may write to it.
    Writable(PathBuf),
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
            Self::Writable(path) => write!(
                formatter,
                "{} can be written by others than root, who could name root's containers there: `chmod go-w` it",
                path.display()
            ),
            Self::Unseen(error) => error.fmt(formatter),
        }
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        Self::Unseen(error.into())
    }
}

/// Whether nobody but root (and this process' user) can change or exchange what is at `path`, with links resolved as for a
/// process with that root directory.
pub(super) fn check(roots: &HostRoots, path: &Path) -> Result<(), Refused> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A process' root is a link of the kernel.
    let root = rustix::fs::open(roots.path("/"), DIRECTORY, Mode::empty())?;
    let mut steps = Vec::new();
    push(&mut steps, path);
    let at = PathBuf::from("/");
    step(&root, &at, steps.is_empty())?;
    // From the root to the directory in which the next step is.
    let mut above = vec![(root, at)];
    let mut links = 0;
    while let Some(name) = steps.pop() {
        if name == ".." {
            if above.len() > 1 {
                above.pop();
            }
            continue;
        }
        let [.., (directory, at)] = above.as_slice() else { break };
        let handle = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
        let at = at.join(&name);
        let stat = step(&handle, &at, steps.is_empty())?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&handle, "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    above.truncate(1);
                }
                push(&mut steps, &target);
            }
            _ => above.push((handle, at)),
        }
    }
    Ok(())
}

/// Whether the program that a process runs is root's, and runs as whoever starts it: one that runs as root for everybody
/// (su, sudo) may have been started by anybody, under any name.
pub(super) fn is_roots_program(exe: &Path) -> bool {
    let stat = rustix::fs::statat(rustix::fs::CWD, exe, AtFlags::empty());
    stat.is_ok_and(|stat| is_ours(stat.st_uid) && !is_writable(&stat) && stat.st_mode & SET_ID == 0)
}

/// Adds the steps of `path`, the first one last.
fn push(steps: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    steps.extend(names);
}

fn step(handle: &OwnedFd, path: &Path, is_last: bool) -> Result<Stat, Refused> {
    let stat = rustix::fs::fstat(handle)?;
    if !is_ours(stat.st_uid) {
        return Err(Refused::Foreign(path.to_owned(), stat.st_uid));
    }
    // A link has no mode, and lies in what was looked at.
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Symlink {
        return Ok(stat);
    }
    // What is in a sticky directory is its owner's alone to exchange, but everybody can add to it.
    let is_passed = kind == FileType::Directory && stat.st_mode & STICKY != 0 && !is_last;
    if is_writable(&stat) && !is_passed {
        return Err(Refused::Writable(path.to_owned()));
    }
    // Owners and modes in such a file system are what the program of the user says who has mounted it. The type is of 32 bits,
    // and signed on some architectures.
    if rustix::fs::fstatfs(handle)?.f_type as u32 == FUSE {
        let user = mounted_by(handle).unwrap_or(u32::MAX);
        if !is_ours(user) {
            return Err(Refused::Foreign(path.to_owned(), user));
        }
    }
    Ok(stat)
}

/// Whether others than the owner and root's group may write to it.
fn is_writable(stat: &Stat) -> bool {
    stat.st_mode & ALL_WRITE != 0 || (stat.st_mode & GROUP_WRITES != 0 && stat.st_gid != 0)
}

fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// The user who has mounted a FUSE file system; root where the machine's host serves it (virtiofs).
fn mounted_by(handle: impl AsFd) -> Option<u32> {
    let about = format!("/proc/self/fdinfo/{}", handle.as_fd().as_raw_fd());
    let about = String::from_utf8(read_bounded(Path::new(&about), 4096).ok()?).ok()?;
    let mount = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = read_bounded(Path::new("/proc/self/mountinfo"), MAX_MOUNTS).ok()?;
    let mounts = String::from_utf8_lossy(&mounts);
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount))?;
    let (_, behind) = line.split_once(" - ")?;
    if behind.starts_with("virtiofs ") {
        return Some(0);
    }
    let mut options = behind.rsplit(' ').next()?.split(',');
    options.find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

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
        for path in ["/srv/own/docker", "/srv/own/to-own", "/tmp/docker", "/srv/open/../own"] {
            let checked = check(&roots, Path::new(path));
            let is_through_open = path.contains("open");
            assert_eq!(checked.is_err(), is_through_open, "{path}: {checked:?}");
        }
        for path in ["/srv/open/docker", "/srv/own/to-open", "/tmp"] {
            let checked = check(&roots, Path::new(path));
            assert!(matches!(checked, Err(Refused::Writable(_))), "{path}: {checked:?}");
        }
        for path in ["/srv/circle", "/srv/nothing"] {
            let checked = check(&roots, Path::new(path));
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
