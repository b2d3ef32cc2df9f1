//! Opens a path step by step, from this process's root or another one, and refuses what others can change.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::groups::Roots;
use super::refused::Refused;
use super::writers::Writers;
use crate::host::authority::Authority;
use crate::host::beneath::DIRECTORY;
use crate::host::process::Processes;

/// Most links on the way to a file, as the kernel has it (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// Bit of the mode of a directory in which everyone may only remove what is his.
const STICKY: u32 = 0o1000;

/// A file or directory that nobody but root and this user can change or exchange.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) handle: OwnedFd,
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
    /// Who else may put something into a directory in which nobody removes what is another's.
    pub(super) shared: Option<Box<Writers>>,
}

impl Trusted {
    /// The same if others can put nothing into it. Errors name the path as it was given.
    fn closed(self, of: &Path) -> Result<Self, Refused> {
        match self.shared {
            None => Ok(self),
            Some(writers) => Err(Refused::Writable {
                path: of.to_owned(),
                of: of.to_owned(),
                writers: *writers,
            }),
        }
    }

    /// Opens that very file for reading.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(self.descriptor())
    }

    /// A path of that very file.
    pub(super) fn descriptor(&self) -> String {
        format!("/proc/self/fd/{}", self.handle.as_raw_fd())
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

/// Where paths begin, and where links from the root lead.
#[derive(Debug, Clone)]
pub struct Start {
    /// As this process sees it.
    path: PathBuf,
    /// The process whose root it is, and whose mounts are below it.
    process: Option<(Processes, u32)>,
}

impl Start {
    /// This process's own root.
    pub(super) fn own() -> Self {
        Self::at("/")
    }

    /// A directory, in this process's view: the host's root in a container.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, process: None }
    }

    /// The root of a process.
    pub fn of_process(processes: &Processes, pid: u32) -> Self {
        Self {
            path: processes.path(pid, "root"),
            process: Some((processes.clone(), pid)),
        }
    }

    pub(super) fn is_own(&self) -> bool {
        self.path == Path::new("/")
    }

    fn authority(&self, file: &OwnedFd) -> io::Result<Authority> {
        match &self.process {
            None => Authority::of(file),
            Some((processes, pid)) => Authority::in_view(file, processes, *pid),
        }
    }
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
    look_from(&Start::own(), path)
}

/// The same, from another root.
pub(super) fn look_from(start: &Start, path: &Path) -> Result<Found, Refused> {
    // A process's root is a link of the kernel.
    let root = rustix::fs::open(&start.path, DIRECTORY, Mode::empty());
    let root = root.map_err(|error| Refused::Unseen(start.path.clone(), error.into()))?;
    walk(start, root, Path::new("/"), path, false)
}

/// What is at `path` below a directory that is a system's root, where no group but root's may write, whoever is in it: for what
/// says who is in groups.
pub(super) fn look_strictly(start: &Start, root: &Trusted, path: &Path) -> Result<Found, Refused> {
    let again = rustix::fs::openat(&root.handle, ".", DIRECTORY, Mode::empty());
    let again = again.map_err(|error| Refused::Unseen(root.path.clone(), error.into()))?;
    walk(start, again, &root.path, path, true)
}

/// The directory at `path`, into which others can put nothing; `None` where something else or nothing is there.
pub(super) fn directory(path: &Path) -> Result<Option<Trusted>, Refused> {
    match look(path)? {
        Found::Here(found) if found.is_directory() => found.closed(path).map(Some),
        _ => Ok(None),
    }
}

/// The content of the file at `path`, of at most `most` bytes; `None` where there is none, or none that this user may read.
pub(super) fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Refused> {
    let Found::Here(found) = look(path)? else {
        return Ok(None);
    };
    if !found.is_file() {
        return Err(Refused::NotRegular(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let read = found
        .open()
        .and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() > most => Err(Refused::Unseen(path.to_owned(), io::ErrorKind::FileTooLarge.into())),
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(Refused::Unseen(path.to_owned(), error)),
    }
}

/// Whether nobody but root and this user can change, exchange or add to what is at `path`.
pub fn check_owned(start: &Start, path: &Path) -> Result<(), Refused> {
    match look_from(start, path)? {
        Found::Here(found) => found.closed(path).map(|_| ()),
        Found::Nothing => Err(Refused::Unseen(path.to_owned(), Errno::NOENT.into())),
    }
}

/// What is at `path`, below `root`, which errors call `base`.
fn walk(start: &Start, root: OwnedFd, base: &Path, path: &Path, is_strict: bool) -> Result<Found, Refused> {
    let unseen = |at: &Path, error: io::Error| Refused::Unseen(at.to_owned(), error);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = checked(start, root, base.to_owned(), path, is_strict, &[])?;
    // From the root to the directory in which the next step is; steps are taken from the end.
    let mut above = vec![root];
    let mut steps = Vec::new();
    push(&mut steps, path);
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
            Err(Errno::NOENT) => {
                let Some(writers) = directory.shared.as_deref().cloned() else {
                    return Ok(Found::Nothing);
                };
                let (path, of) = (directory.path.clone(), path.to_owned());
                return Err(Refused::Writable { path, of, writers });
            }
            Err(error) => return Err(unseen(&at, error.into())),
        };
        let next = checked(start, handle, at, path, is_strict, &above)?;
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

/// A step on the way to `of`, below `above`, if nobody else can change it.
fn checked(
    start: &Start,
    handle: OwnedFd,
    path: PathBuf,
    of: &Path,
    is_strict: bool,
    above: &[Trusted],
) -> Result<Trusted, Refused> {
    let unseen = |error: io::Error| Refused::Unseen(path.clone(), error);
    let stat = rustix::fs::fstat(&handle).map_err(|error| unseen(error.into()))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    // Errors name the file as it was given.
    let named = |path: &Path, is_last: bool| if is_last { of.to_owned() } else { path.to_owned() };
    let is_last = kind == FileType::RegularFile;
    let (name, of) = (named(&path, is_last), of.to_owned());
    if !is_ours(stat.st_uid) {
        let owner = stat.st_uid;
        return Err(Refused::Foreign { path: name, of, owner });
    }
    // A link has no mode, and the file system of a directory above it was looked at.
    let mut shared = None;
    if kind != FileType::Symlink {
        let roots = Roots { start, above };
        shared = Writers::of(&handle, &stat, is_strict, &roots).map_err(unseen)?;
        // What is in a sticky directory is its owner's alone to exchange, and the next step's owner is checked.
        let is_sticky = kind == FileType::Directory && stat.st_mode & STICKY != 0;
        if let Some(writers) = shared.take_if(|_| !is_sticky) {
            return Err(Refused::Writable {
                path: name,
                of,
                writers,
            });
        }
        let user = match start.authority(&handle).map_err(unseen)? {
            Authority::Machine => None,
            Authority::User(user) if is_ours(user) => None,
            Authority::User(user) => Some(Some(user)),
            Authority::Namespace | Authority::Unknown => Some(None),
        };
        if let Some(user) = user {
            return Err(Refused::Served { path: name, of, user });
        }
    }
    Ok(Trusted {
        handle,
        path,
        stat,
        shared: shared.map(Box::new),
    })
}

/// Whether the user is root or this process's own.
pub fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests;
