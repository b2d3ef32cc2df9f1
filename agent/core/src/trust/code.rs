//! A program or library with all that runs with it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::elf::{self, Names};
use super::refused::Refused;
use super::search::{Search, program_path};
use super::walk::{self, Trusted};

/// Most files that a program needs.
pub(super) const MAX_FILES: usize = 512;
/// Longest first line of a script, as the kernel has it (`BINPRM_BUF_SIZE`).
const MAX_LINE: u64 = 256;

/// Whether nobody but root and this user could have put code into `file`, or can do so before it is loaded or run with
/// `directories` as its `LD_LIBRARY_PATH`. So for its interpreter and the libraries that it needs, wherever the loader may
/// find them, and for what these need.
pub fn check(file: &Path, directories: &[PathBuf]) -> Result<(), Refused> {
    let mut check = Check {
        search: None,
        directories,
        seen: HashSet::new(),
        open: Vec::new(),
    };
    check.add(file)?;
    while let Some((file, found)) = check.open.pop() {
        let needed = check.needs(&file, &found);
        // A library's own error already names the library.
        needed.map_err(|why| Refused::Needed {
            of: file.clone(),
            why: Box::new(why),
        })?;
        if check.seen.len() > MAX_FILES {
            return Err(Refused::TooMany(file));
        }
    }
    Ok(())
}

struct Check<'a> {
    /// Made when a file needs a library.
    search: Option<Search>,
    directories: &'a [PathBuf],
    /// Device and inode.
    seen: HashSet<(u64, u64)>,
    /// Trusted themselves, with what they need not looked at.
    open: Vec<(PathBuf, Trusted)>,
}

impl Check<'_> {
    fn add(&mut self, file: &Path) -> Result<(), Refused> {
        let found = walk::open(file)?;
        if !found.is_file() {
            return Err(Refused::NotRegular(file.to_owned()));
        }
        if self.seen.insert((found.stat.st_dev, found.stat.st_ino)) {
            self.open.push((file.to_owned(), found));
        }
        Ok(())
    }

    fn needs(&mut self, path: &Path, found: &Trusted) -> Result<(), Refused> {
        // What may be run and not read is not a script, whose interpreter must read it.
        let Ok(mut file) = found.open() else { return Ok(()) };
        let mut line = Vec::new();
        file.by_ref()
            .take(MAX_LINE)
            .read_to_end(&mut line)
            .map_err(|error| Refused::Unseen(path.to_owned(), error))?;
        if let Some(line) = line.strip_prefix(b"#!") {
            return self.interpreter(line);
        }
        let names = elf::names(file);
        if let Some(interpreter) = &names.interpreter {
            self.add(interpreter)?;
        }
        let directories = directories_of(&names, path, found)?;
        for name in &names.needed {
            if name.as_os_str().as_bytes().contains(&b'/') {
                self.add_if_there(name)?;
                continue;
            }
            let search = self.search.get_or_insert_with(|| Search::new(self.directories));
            for candidate in search.candidates(name.as_os_str(), &directories) {
                self.add_if_there(&candidate)?;
            }
        }
        Ok(())
    }

    /// The interpreter in a script's first line, and the program that `env` starts.
    fn interpreter(&mut self, line: &[u8]) -> Result<(), Refused> {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut words = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        let Some(interpreter) = words.next().map(|word| Path::new(OsStr::from_bytes(word))) else {
            return Ok(());
        };
        self.add_if_there(interpreter)?;
        if interpreter.file_name() != Some(OsStr::new("env")) {
            return Ok(());
        }
        let is_option = |word: &&[u8]| word.starts_with(b"-") || word.contains(&b'=');
        let Some(program) = words.find(|word| !is_option(word)) else {
            return Ok(());
        };
        for directory in program_path().1 {
            self.add_if_there(&directory.join(OsStr::from_bytes(program)))?;
        }
        Ok(())
    }

    /// A file that is not there is the loader's or the kernel's to report.
    fn add_if_there(&mut self, file: &Path) -> Result<(), Refused> {
        match walk::look(file)? {
            walk::Found::Nothing => Ok(()),
            walk::Found::Here(_) => self.add(file),
        }
    }
}

/// The directories in which the file has its libraries looked for, each of which exists and is trusted.
fn directories_of(names: &Names, path: &Path, found: &Trusted) -> Result<Vec<PathBuf>, Refused> {
    // The loader takes the path of a library as it was given, and that of a program without links.
    let origins = [path, &found.path].map(|path| path.parent().unwrap_or(Path::new("/")).to_owned());
    let mut directories = Vec::new();
    for pattern in &names.directories {
        // An empty one, which builds leave behind, is the working directory: that of children is the root.
        let pattern = if pattern.is_empty() { "/" } else { pattern.as_str() };
        for directory in expand(pattern, &origins) {
            // The loader passes over what it cannot look at, with the same rights; what lies above was trusted.
            let found = match walk::look(&directory) {
                Err(Refused::Unseen(_, error)) if is_passed_over(&error) => continue,
                found => found?,
            };
            if let walk::Found::Here(found) = found
                && found.is_directory()
                && !directories.contains(&directory)
            {
                directories.push(directory);
            }
        }
    }
    Ok(directories)
}

fn is_passed_over(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidFilename, NotADirectory, PermissionDenied};
    matches!(error.kind(), PermissionDenied | NotADirectory | InvalidFilename)
}

/// The directories for which a path with the loader's variables may stand (ld.so(8)).
fn expand(pattern: &str, origins: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = vec![pattern.to_owned()];
    let triplet = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let libraries = ["lib", "lib64", triplet.as_str()];
    let origins: Vec<_> = origins.iter().map(|origin| origin.display().to_string()).collect();
    let origins: Vec<_> = origins.iter().map(String::as_str).collect();
    for (name, values) in [
        ("ORIGIN", &*origins),
        ("LIB", &libraries),
        ("PLATFORM", &[std::env::consts::ARCH]),
    ] {
        for variable in [format!("${{{name}}}"), format!("${name}")] {
            let replaced = |text: String| -> Vec<String> {
                if text.contains(&variable) {
                    values.iter().map(|value| text.replace(&variable, value)).collect()
                } else {
                    vec![text]
                }
            };
            found = found.into_iter().flat_map(replaced).collect();
        }
    }
    found.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests;
