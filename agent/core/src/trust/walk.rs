//! Opens a path step by step, and refuses what others can change.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::refused::Refused;

/// Most links on the way to a file, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Bits of a mode: writable by the group, by all, and the directory in which everyone may only remove what is his.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// `FUSE_SUPER_MAGIC` (`include/uapi/linux/magic.h`).
const FUSE: u64 = 0x6573_5546;

/// Whether others than the owner and root's group may write to it.
fn is_writable(stat: &Stat) -> bool {
    stat.st_mode & ALL_WRITE != 0 || (stat.st_mode & GROUP_WRITES != 0 && stat.st_gid != 0)
}

/// A file or directory that nobody but root and this user can change or exchange.
#[derive(Debug)]
pub(super) struct Trusted {
    handle: OwnedFd,
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

impl Trusted {
    /// Opens that very file for reading.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    pub(super) fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }

    pub(super) fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::RegularFile
    }
}

/// What is at a path.
#[derive(Debug)]
pub(super) enum Found {
    Here(Trusted),
    /// Nothing, and nobody but root and this user can put something there.
    Nothing,
}

/// The file or directory at `path`.
pub(super) fn open(path: &Path) -> Result<Trusted, Refused> {
    match look(path)? {
        Found::Here(trusted) => Ok(trusted),
        Found::Nothing => Err(Refused::Unseen(path.to_owned(), Errno::NOENT.into())),
    }
}

/// Whether something is at `path`.
pub(super) fn look(path: &Path) -> Result<Found, Refused> {
    let unseen = |at: &Path, error: io::Error| Refused::Unseen(at.to_owned(), error);
    let absolute = std::path::absolute(path).map_err(|error| unseen(path, error))?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).map_err(|error| unseen(path, error.into()))?;
    let root = checked(root, PathBuf::from("/"), path)?;
    // From the root to the directory in which the next step is; steps are taken from the end.
    let mut above = vec![root];
    let mut steps = Vec::new();
    push(&mut steps, &absolute);
    let mut links = 0;
    while let Some(step) = steps.pop() {
        if step == ".." {
            if above.len() > 1 {
                above.pop();
            }
            continue;
        }
        let [.., directory] = above.as_slice() else { break };
        let at = directory.path.join(&step);
        let handle = match rustix::fs::openat(&directory.handle, &step, flags, Mode::empty()) {
            Ok(handle) => handle,
            // In a directory that everyone may write to, someone else may make it.
            Err(Errno::NOENT) if !is_writable(&directory.stat) => return Ok(Found::Nothing),
            Err(Errno::NOENT) => {
                let (path, of) = (directory.path.clone(), path.to_owned());
                return Err(Refused::Writable { path, of });
            }
            Err(error) => return Err(unseen(&at, error.into())),
        };
        let next = checked(handle, at, path)?;
        if FileType::from_raw_mode(next.stat.st_mode) == FileType::Symlink {
            links += 1;
            let target = rustix::fs::readlinkat(&next.handle, "", Vec::new());
            let target = match target {
                Ok(target) if links <= MAX_LINKS => PathBuf::from(OsString::from_vec(target.into_bytes())),
                Ok(_) => return Err(unseen(&next.path, Errno::LOOP.into())),
                Err(error) => return Err(unseen(&next.path, error.into())),
            };
            if target.is_absolute() {
                above.truncate(1);
            }
            push(&mut steps, &target);
        } else if steps.is_empty() {
            return Ok(Found::Here(next));
        } else if next.is_directory() {
            above.push(next);
        } else {
            return Err(unseen(&next.path, Errno::NOTDIR.into()));
        }
    }
    // The path ends with `..` or is the root.
    above
        .pop()
        .map(Found::Here)
        .ok_or_else(|| unseen(path, Errno::NOENT.into()))
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

/// A step on the way to `of`, if nobody else can change it.
fn checked(handle: OwnedFd, path: PathBuf, of: &Path) -> Result<Trusted, Refused> {
    let unseen = |error: Errno| Refused::Unseen(path.clone(), error.into());
    let stat = rustix::fs::fstat(&handle).map_err(unseen)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    // Errors name the file as it was given.
    let named = |path: &Path, is_last: bool| if is_last { of.to_owned() } else { path.to_owned() };
    let is_last = kind == FileType::RegularFile;
    let foreign = |owner| Refused::Foreign {
        path: named(&path, is_last),
        of: of.to_owned(),
        owner,
    };
    if !is_ours(stat.st_uid) {
        return Err(foreign(stat.st_uid));
    }
    // A link has no mode. What is in a sticky directory is its owner's alone to exchange, and the next step's owner is checked.
    let is_sticky = kind == FileType::Directory && stat.st_mode & STICKY != 0;
    if kind != FileType::Symlink && is_writable(&stat) && !is_sticky {
        return Err(Refused::Writable {
            path: named(&path, is_last),
            of: of.to_owned(),
        });
    }
    // Owners and modes in such a file system are what the program of the user says who has mounted it.
    if kind != FileType::Symlink && rustix::fs::fstatfs(&handle).map_err(unseen)?.f_type as u64 == FUSE {
        let user = mounted_by(&handle).unwrap_or(u32::MAX);
        if !is_ours(user) {
            return Err(foreign(user));
        }
    }
    Ok(Trusted { handle, path, stat })
}

fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// The user who has mounted the FUSE file system.
fn mounted_by(handle: impl AsFd) -> Option<u32> {
    let about = format!("/proc/self/fdinfo/{}", handle.as_fd().as_raw_fd());
    let about = std::fs::read_to_string(about).ok()?;
    let mount = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount))?;
    let mut options = line.rsplit(' ').next()?.split(',');
    options.find_map(|option| option.strip_prefix("user_id=")?.parse().ok())
}

#[cfg(test)]
mod tests;
