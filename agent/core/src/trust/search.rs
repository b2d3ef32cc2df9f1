//! Where the loader looks for libraries, and children for programs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::refused::Refused;
use super::told::is_usable;
use super::walk::{self, Trusted};

/// Directories that the loader has built in, by distribution and by the program's word size.
const SYSTEM: &[&str] = &[
    #[cfg(target_arch = "x86_64")]
    "/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/lib/aarch64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    #[cfg(target_arch = "x86_64")]
    "/lib/i386-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/i386-linux-gnu",
    #[cfg(target_arch = "x86_64")]
    "/lib32",
    #[cfg(target_arch = "x86_64")]
    "/usr/lib32",
    #[cfg(target_arch = "aarch64")]
    "/lib/arm-linux-gnueabihf",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/arm-linux-gnueabihf",
];

/// Where children look for programs.
const PROGRAMS: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Directory in one of the loader's, with directories for processors with more instructions (glibc 2.33).
const LEVELS: &str = "glibc-hwcaps";
/// What glibc before 2.37 looks into too, also one below another (`_dl_important_hwcaps`).
const OLD_LEVELS: &[&str] = &[
    "tls",
    #[cfg(target_arch = "x86_64")]
    "haswell",
    #[cfg(target_arch = "x86_64")]
    "xeon_phi",
    #[cfg(target_arch = "x86_64")]
    "avx512_1",
    #[cfg(target_arch = "x86_64")]
    "x86_64",
    #[cfg(target_arch = "x86_64")]
    "i686",
    #[cfg(target_arch = "aarch64")]
    "atomics",
    #[cfg(target_arch = "aarch64")]
    "aarch64",
];

/// Where the libraries of a program and of its libraries are looked for, none of which others can put anything into.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) directories: Vec<PathBuf>,
    cache: Cache,
}

impl Search {
    /// In these directories (`LD_LIBRARY_PATH`), and where the system has its own.
    pub(super) fn new(directories: &[PathBuf]) -> Result<Self, Refused> {
        let mut search = Self {
            directories: Vec::new(),
            cache: Cache::read()?,
        };
        for directory in directories {
            search.add(directory)?;
        }
        // Most have two names.
        let mut known = Vec::new();
        for directory in SYSTEM.iter().map(Path::new) {
            let Some(found) = directory_to_search(directory)? else {
                continue;
            };
            let identity = (found.stat.st_dev, found.stat.st_ino);
            if !known.contains(&identity) {
                known.push(identity);
                search.add(directory)?;
            }
        }
        Ok(search)
    }

    /// Adds a directory, with those in it that are for some processors. Returns what is new.
    pub(super) fn add(&mut self, directory: &Path) -> Result<Vec<PathBuf>, Refused> {
        if self.directories.iter().any(|known| known == directory) {
            return Ok(Vec::new());
        }
        if directory_to_search(directory)?.is_none() {
            return Ok(Vec::new());
        }
        let mut new = vec![directory.to_owned()];
        let levels = directory.join(LEVELS);
        if walk::directory(&levels)?.is_some() {
            let unseen = |error| Refused::Unseen(levels.clone(), error);
            for level in std::fs::read_dir(&levels).map_err(unseen)? {
                let level = level.map_err(unseen)?.path();
                new.extend(directory_at(&level)?);
            }
        }
        old_levels(directory, OLD_LEVELS, &mut new)?;
        self.directories.extend(new.iter().cloned());
        Ok(new)
    }

    /// All files that the loader may take for `name`.
    pub(super) fn candidates(&self, name: &OsStr) -> Vec<PathBuf> {
        let mut found = candidates(&self.directories, name);
        found.extend(self.cache.paths(name));
        found
    }
}

/// The files of that name in directories.
pub(super) fn candidates(directories: &[PathBuf], name: &OsStr) -> Vec<PathBuf> {
    let files = directories.iter().map(|directory| directory.join(name));
    files.filter(|file| file.symlink_metadata().is_ok()).collect()
}

fn old_levels(directory: &Path, names: &[&str], found: &mut Vec<PathBuf>) -> Result<(), Refused> {
    for name in names {
        if let Some(level) = directory_at(&directory.join(name))? {
            let others: Vec<&str> = names.iter().copied().filter(|other| other != name).collect();
            found.push(level.clone());
            old_levels(&level, &others, found)?;
        }
    }
    Ok(())
}

/// A directory within one that others cannot put anything into.
fn directory_at(path: &Path) -> Result<Option<PathBuf>, Refused> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    Ok(walk::directory(path)?.map(|_| path.to_owned()))
}

/// The directory at `path`. The loader passes over what it cannot look at, with the same rights; what lies above was trusted.
fn directory_to_search(path: &Path) -> Result<Option<Trusted>, Refused> {
    match walk::directory(path) {
        Err(Refused::Unseen(_, error)) if is_passed_over(&error) => Ok(None),
        found => found,
    }
}

fn is_passed_over(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, PermissionDenied};
    matches!(error.kind(), PermissionDenied | NotADirectory | InvalidFilename)
}

/// Path of the library that the loader finds by its name, for a process with this `LD_LIBRARY_PATH`.
pub fn find_library(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let system = SYSTEM.iter().map(PathBuf::from);
    let directories: Vec<PathBuf> = directories.iter().cloned().chain(system).collect();
    let mut found = candidates(&directories, OsStr::new(name));
    // Why it is refused is said of what is found without it.
    found.extend(Cache::read().unwrap_or_default().paths(OsStr::new(name)));
    found.into_iter().find(|path| path.is_file())
}

/// The value of `LD_LIBRARY_PATH` for a child, and its directories: those of this process's own variable, then `more`. What
/// does not exist is left out, and so is what others can change.
pub fn library_path(more: impl IntoIterator<Item = PathBuf>) -> (OsString, Vec<PathBuf>) {
    let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // The loader takes either. An empty one stands for the working directory.
    let given = given.as_bytes().split(|byte| matches!(byte, b':' | b';'));
    let given = given.map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let given: Vec<PathBuf> = given.filter(|path| path.is_absolute()).collect();
    let all = given.into_iter().chain(more);
    // The loader would take it for several, or for another one.
    let is_plain = |path: &PathBuf| !path.as_os_str().as_bytes().iter().any(|byte| b":;$".contains(byte));
    let directories: Vec<PathBuf> = all.filter(is_plain).filter(|path| is_usable(path)).collect();
    (joined(&directories), directories)
}

/// The value of `PATH` for a child, and its directories: those of the system that exist and that nobody else can change.
pub fn program_path() -> (OsString, Vec<PathBuf>) {
    let programs = PROGRAMS.iter().map(PathBuf::from);
    let directories: Vec<PathBuf> = programs.filter(|path| is_usable(path)).collect();
    (joined(&directories), directories)
}

fn joined(directories: &[PathBuf]) -> OsString {
    // Only a colon in a name makes it fail.
    std::env::join_paths(directories).unwrap_or_default()
}
