//! A program or library with all that the kernel and the loader open with it.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::elf;
use super::handlers;
use super::refused::Refused;
use super::script::Line;
use super::search::{Search, candidates, program_path};
use super::variables::expand;
use super::walk::{self, Found, Trusted};

/// Most files that a program needs.
pub(super) const MAX_FILES: usize = 512;
/// How much of a file the kernel looks at (`BINPRM_BUF_SIZE`).
const MAX_LINE: u64 = 256;
/// Libraries that the loader of glibc puts into every program (ld.so(8)), and the longest such list that is read.
const PRELOADED: &str = "/etc/ld.so.preload";
const MAX_LIST: usize = 64 << 10;
/// How the loader of musl is called, and where that looks unless a file says otherwise (ldso/dynlink.c).
const MUSL: &str = "ld-musl-";
const MUSL_DIRECTORIES: &[u8] = b"/lib:/usr/local/lib:/usr/lib";
/// What starts a program that is neither of a known format nor a script (execvp(3)).
const SHELL: &str = "/bin/sh";
/// The working directory of children, from where relative paths begin.
const WORKING: &str = "/";

/// Whether nobody but root and this user could have put code into `file`, or can do so before it is loaded or run with
/// `directories` as its `LD_LIBRARY_PATH`. So for all that the kernel and the loader open by themselves then: its interpreter with
/// what that is given to open, and the libraries that are loaded with it, wherever the loader may find them, with what these need.
pub fn check(file: &Path, directories: &[PathBuf]) -> Result<(), Refused> {
    let mut check = Check {
        given: directories,
        search: None,
        names: Vec::new(),
        seen: HashSet::new(),
        open: Vec::new(),
    };
    check.add(file)?;
    while let Some((file, found)) = check.open.pop() {
        let needed = check.needs(&file, &found);
        // A library's own error already names the library.
        needed.map_err(|why| match why {
            Refused::Unclear { path, why } if path == file => Refused::Unclear { path, why },
            why => Refused::Needed {
                of: file.clone(),
                why: Box::new(why),
            },
        })?;
        if check.seen.len() > MAX_FILES {
            return Err(Refused::TooMany(file));
        }
    }
    Ok(())
}

struct Check<'a> {
    given: &'a [PathBuf],
    /// Made when a file needs a library. Each name is looked for in each directory that any of the files has libraries looked for
    /// in: which of them the loader takes depends on the order in which it loads them, and on who has asked for whom.
    search: Option<Search>,
    /// Libraries that are looked for.
    names: Vec<OsString>,
    /// Device and inode, and the directory by which the file was found, which is its `$ORIGIN`.
    seen: HashSet<(u64, u64, PathBuf)>,
    /// Trusted themselves, with what they need not looked at.
    open: Vec<(PathBuf, Trusted)>,
}

impl Check<'_> {
    fn add(&mut self, file: &Path) -> Result<(), Refused> {
        self.add_found(file, walk::open(file)?)
    }

    /// A file that is not there is the loader's or the kernel's to report.
    fn add_if_there(&mut self, file: &Path) -> Result<(), Refused> {
        match walk::look(file)? {
            Found::Nothing => Ok(()),
            Found::Here(found) => self.add_found(file, found),
        }
    }

    fn add_found(&mut self, file: &Path, found: Trusted) -> Result<(), Refused> {
        if !found.is_file() {
            return Err(Refused::NotRegular(file.to_owned()));
        }
        let file = Path::new(WORKING).join(file);
        let directory = file.parent().unwrap_or(Path::new(WORKING)).to_owned();
        if self.seen.insert((found.stat.st_dev, found.stat.st_ino, directory)) {
            self.open.push((file, found));
        }
        Ok(())
    }

    fn needs(&mut self, path: &Path, found: &Trusted) -> Result<(), Refused> {
        let unclear = |why: String| Refused::Unclear {
            path: path.to_owned(),
            why,
        };
        let unseen = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                unclear("this user may not read it, and so not see what is opened for it: `chmod a+r` it".to_owned())
            }
            _ => Refused::Unseen(path.to_owned(), error),
        };
        let mut file = found.open().map_err(unseen)?;
        let mut head = Vec::new();
        file.by_ref().take(MAX_LINE).read_to_end(&mut head).map_err(unseen)?;
        for interpreter in handlers::of(&head, path) {
            self.add_if_there(&interpreter)?;
        }
        if let Some(line) = Line::parse(&head) {
            return self.script(path, &line);
        }
        if !head.starts_with(elf::MAGIC) {
            return self.add_if_there(Path::new(SHELL));
        }
        let names = elf::names(file).map_err(|error| {
            unclear(format!(
                "what would be opened for it cannot be read from it ({error}): install it again, or name another file"
            ))
        })?;
        // The loader takes the path of a library as it was given, and that of a program without links.
        let origins = [path, &found.path].map(|path| path.parent().unwrap_or(Path::new(WORKING)).to_owned());
        for pattern in &names.directories {
            for directory in expand(pattern, &origins) {
                // An empty one, which builds leave behind, is the working directory.
                self.search_in(&Path::new(WORKING).join(directory))?;
            }
        }
        for interpreter in &names.interpreters {
            let interpreter = Path::new(WORKING).join(interpreter);
            self.add_if_there(&interpreter)?;
            self.loader(&interpreter, &origins)?;
        }
        for library in &names.libraries {
            self.library(library, &origins)?;
        }
        Ok(())
    }

    /// A library that an object in one of the directories `origins` names.
    fn library(&mut self, name: &OsStr, origins: &[PathBuf]) -> Result<(), Refused> {
        for name in expand(name, origins) {
            if name.as_bytes().contains(&b'/') {
                self.add_if_there(&Path::new(WORKING).join(name))?;
            } else if !name.is_empty() && !self.names.contains(&name) {
                for candidate in self.search()?.candidates(&name) {
                    self.add_if_there(&candidate)?;
                }
                self.names.push(name);
            }
        }
        Ok(())
    }

    /// Has all libraries looked for in a directory too.
    fn search_in(&mut self, directory: &Path) -> Result<(), Refused> {
        let new = self.search()?.add(directory)?;
        let found: Vec<PathBuf> = self.names.iter().flat_map(|name| candidates(&new, name)).collect();
        found.iter().try_for_each(|candidate| self.add_if_there(candidate))
    }

    fn search(&mut self) -> Result<&mut Search, Refused> {
        let search = match self.search.take() {
            Some(search) => search,
            None => Search::new(self.given)?,
        };
        Ok(self.search.insert(search))
    }

    /// What the loader opens beside what the program names.
    fn loader(&mut self, loader: &Path, origins: &[PathBuf]) -> Result<(), Refused> {
        let name = loader.file_name().unwrap_or_default();
        let musl = name
            .to_str()
            .and_then(|name| name.strip_prefix(MUSL)?.split('.').next());
        if let Some(architecture) = musl {
            let prefix = loader.parent().and_then(Path::parent).unwrap_or(Path::new(WORKING));
            let list = prefix.join(format!("etc/{MUSL}{architecture}.path"));
            let list = walk::read(&list, MAX_LIST)?.unwrap_or_else(|| MUSL_DIRECTORIES.to_owned());
            let directories = list.split(|byte| matches!(byte, b':' | b'\n'));
            for directory in directories.filter(|directory| !directory.is_empty()) {
                self.search_in(&Path::new(WORKING).join(OsStr::from_bytes(directory)))?;
            }
        } else {
            let list = walk::read(Path::new(PRELOADED), MAX_LIST)?.unwrap_or_default();
            for line in list.split(|byte| *byte == b'\n') {
                let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
                let names = line.split(|byte| matches!(byte, b' ' | b'\t' | b':'));
                names.map(OsStr::from_bytes).try_for_each(|name| {
                    self.library(name, origins).map_err(|why| Refused::Needed {
                        of: PRELOADED.into(),
                        why: Box::new(why),
                    })
                })?;
            }
        }
        Ok(())
    }

    /// The interpreter in a script's first line, and what that is given to open there.
    fn script(&mut self, path: &Path, line: &Line<'_>) -> Result<(), Refused> {
        let named = Path::new(WORKING).join(line.interpreter);
        let Found::Here(interpreter) = walk::look(&named)? else {
            return Ok(());
        };
        let is_env = |path: &Path| path.file_name() == Some(OsStr::new("env"));
        if (is_env(line.interpreter) || is_env(&interpreter.path)) && line.has_quotes() {
            return Err(Refused::Unclear {
                path: path.to_owned(),
                why: "its first line has quotes, backslashes or variables, and what env makes of them is not followed: write the \
                      program's path there"
                    .to_owned(),
            });
        }
        self.add_found(&named, interpreter)?;
        let opened = line.opened();
        let mut directories = program_path().1;
        directories.push(WORKING.into());
        for path in opened.absolute {
            directories.extend(self.add_or_search(&path)?);
        }
        // One of them may be a directory in which others are looked for.
        for _ in 0..2 {
            for name in &opened.relative {
                for path in candidates(&directories, name.as_os_str()) {
                    directories.extend(self.add_or_search(&path)?);
                }
            }
            let mut known = HashSet::new();
            directories.retain(|directory| known.insert(directory.clone()));
        }
        let origins = [WORKING.into()];
        opened
            .libraries
            .iter()
            .try_for_each(|name| self.library(name, &origins))
    }

    /// Adds a file; a directory is one in which others may put nothing, and is returned.
    fn add_or_search(&mut self, path: &Path) -> Result<Option<PathBuf>, Refused> {
        if path == Path::new("/dev/null") {
            return Ok(None);
        }
        match walk::look(path)? {
            Found::Nothing => Ok(None),
            Found::Here(found) if found.is_file() => self.add_found(path, found).map(|()| None),
            Found::Here(_) => {
                let directory = walk::directory(path)?.map(|_| path.to_owned());
                directory.iter().try_for_each(|directory| self.search_in(directory))?;
                Ok(directory)
            }
        }
    }
}

#[cfg(test)]
mod tests;
