//! Where the loader looks for libraries.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::cache::Cache;
use super::told::is_usable;

/// Directories that the loader has built in, by distribution.
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

/// Directories in one of the loader's, for processors with more instructions.
const LEVELS: &str = "glibc-hwcaps";

/// Where the libraries of a program and of its libraries are looked for.
#[derive(Debug)]
pub(super) struct Search {
    directories: Vec<PathBuf>,
    cache: Cache,
}

impl Search {
    /// In these directories (`LD_LIBRARY_PATH`), and where the system has its own.
    pub(super) fn new(directories: &[PathBuf]) -> Self {
        Self {
            directories: directories.to_vec(),
            cache: Cache::read(),
        }
    }

    /// All files that the loader may take for `name`, which also is looked for in `more`.
    pub(super) fn candidates(&self, name: &OsStr, more: &[PathBuf]) -> Vec<PathBuf> {
        let given = self.directories.iter().chain(more).cloned();
        let directories = given.chain(SYSTEM.iter().map(PathBuf::from));
        let mut found = Vec::new();
        for directory in directories {
            let levels = std::fs::read_dir(directory.join(LEVELS)).into_iter().flatten();
            let levels = levels.filter_map(|level| Some(level.ok()?.path()));
            for directory in std::iter::once(directory.clone()).chain(levels) {
                let file = directory.join(name);
                if file.symlink_metadata().is_ok() && !found.contains(&file) {
                    found.push(file);
                }
            }
        }
        found.extend(self.cache.paths(name));
        found
    }
}

/// Path of the library that the loader finds by its name, for a process with this `LD_LIBRARY_PATH`.
pub fn find_library(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let found = Search::new(directories).candidates(OsStr::new(name), &[]);
    found.into_iter().find(|path| path.is_file())
}

/// The value of `LD_LIBRARY_PATH` for a child, and its directories: those of this process's own variable, then `more`. What
/// does not exist is left out, and so is what others can change.
pub fn library_path(more: impl IntoIterator<Item = PathBuf>) -> (OsString, Vec<PathBuf>) {
    let given = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    // An empty one stands for the working directory.
    let given = std::env::split_paths(&given)
        .filter(|path| path.is_absolute())
        .collect::<Vec<_>>();
    let all = given.into_iter().chain(more);
    let directories: Vec<PathBuf> = all.filter(|path| is_usable(path)).collect();
    // Only a colon in a name makes it fail.
    let joined = std::env::join_paths(&directories).unwrap_or_default();
    (joined, directories)
}

/// The value of `PATH` for a child, and its directories: those of the system that exist and that nobody else can change.
pub fn program_path() -> (OsString, Vec<PathBuf>) {
    let programs = PROGRAMS.iter().map(PathBuf::from);
    let directories: Vec<PathBuf> = programs.filter(|path| is_usable(path)).collect();
    let joined = std::env::join_paths(&directories).unwrap_or_default();
    (joined, directories)
}
