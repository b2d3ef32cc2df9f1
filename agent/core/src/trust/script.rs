//! The first line of a script: what the kernel starts, and what that is told to open.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// As the kernel reads it (fs/binfmt_script.c).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) interpreter: &'a Path,
    /// One argument, in which there may be spaces.
    argument: &'a [u8],
}

/// What an interpreter may open by its argument. More than it does: what each of its options and variables means is its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Paths from the root.
    pub(super) absolute: BTreeSet<PathBuf>,
    /// Names and paths below a directory that is searched, or in which it works.
    pub(super) relative: BTreeSet<PathBuf>,
    /// Libraries that a variable of the loader names, other than by a path.
    pub(super) libraries: BTreeSet<OsString>,
}

impl<'a> Line<'a> {
    /// The line at the beginning of a file of which `head` is read; `None` where it is no script or one that the kernel refuses.
    pub(super) fn parse(head: &'a [u8]) -> Option<Self> {
        let text = head.strip_prefix(b"#!")?;
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let line = text.split(|byte| *byte == b'\n').next()?;
        // What is behind a NUL is not passed on.
        let line = line.split(|byte| *byte == 0).next()?;
        let start = line.iter().position(|byte| !is_blank(byte))?;
        let line = line[start..].trim_ascii_end();
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (interpreter, argument) = line.split_at(end);
        (!interpreter.is_empty()).then(|| Self {
            interpreter: Path::new(OsStr::from_bytes(interpreter)),
            argument: argument.trim_ascii(),
        })
    }

    /// Whether `env` takes the argument apart by rules of its own, with quotes, escapes and variables.
    pub(super) fn has_quotes(&self) -> bool {
        self.argument
            .iter()
            .any(|byte| matches!(byte, b'$' | b'\\' | b'"' | b'\''))
    }

    /// What may be opened by the argument, taken as one and as the words in it.
    pub(super) fn opened(&self) -> Opened {
        let mut opened = Opened::default();
        opened.add(self.argument);
        for word in self.argument.split(u8::is_ascii_whitespace) {
            opened.add(word);
            if word.starts_with(b"LD_") {
                let names = word.split(|byte| matches!(byte, b'=' | b':' | b';')).skip(1);
                let names = names.filter(|name| !name.is_empty() && !name.contains(&b'/'));
                opened
                    .libraries
                    .extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
            }
        }
        opened
    }
}

impl Opened {
    /// Adds what a word names: itself, what is behind an option's letter, and the parts of a list or of `NAME=value`.
    fn add(&mut self, word: &[u8]) {
        for part in word.split(|byte| matches!(byte, b'=' | b':' | b';' | b',')) {
            let path = |bytes: &[u8]| {
                let path = Path::new(OsStr::from_bytes(bytes));
                path.strip_prefix(".").unwrap_or(path).to_owned()
            };
            if part.starts_with(b"/") {
                self.absolute.insert(path(part));
            } else if part.starts_with(b"-") {
                let slash = part.iter().position(|byte| *byte == b'/');
                self.absolute.extend(slash.map(|at| path(&part[at..])));
                let behind = (1..part.len()).map(|at| &part[at..]);
                let relative = behind.filter(|rest| !rest.starts_with(b"/") && !rest.starts_with(b"-"));
                self.relative.extend(relative.map(path));
            } else if !part.is_empty() {
                self.relative.insert(path(part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &BTreeSet<PathBuf>) -> Vec<&str> {
        paths.iter().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn the_line_is_the_kernels() {
        let line = |text: &'static str| {
            let line = Line::parse(text.as_bytes())?;
            Some((
                line.interpreter.to_str().unwrap(),
                std::str::from_utf8(line.argument).unwrap(),
            ))
        };
        assert_eq!(line("#! \t/bin/sh -e  x \nrest"), Some(("/bin/sh", "-e  x")));
        assert_eq!(line("#!bin/sh\0 -x"), Some(("bin/sh", "")));
        for none in ["", "#", "#!", "#!  \n/bin/sh", "# /bin/sh"] {
            assert_eq!(line(none), None, "{none:?}");
        }
    }

    #[test]
    fn all_that_an_argument_may_name_is_found() {
        let opened = |text: &'static [u8]| Line::parse(text).unwrap().opened();
        let env = opened(b"#!/usr/bin/env -S -C/srv PATH=/opt/a:b LD_PRELOAD=libx.so tool -f/etc/x --file=y/z");
        let absolute = paths(&env.absolute);
        for path in ["/srv", "/opt/a", "/etc/x"] {
            assert!(absolute.contains(&path), "{path}: {absolute:?}");
        }
        let relative = paths(&env.relative);
        for path in ["tool", "b", "y/z"] {
            assert!(relative.contains(&path), "{path}: {relative:?}");
        }
        assert_eq!(env.libraries, BTreeSet::from(["libx.so".into()]));
        assert!(paths(&opened(b"#!/usr/bin/env -vStool").relative).contains(&"tool"));
        assert!(paths(&opened(b"#!/bin/sh /opt/with space").absolute).contains(&"/opt/with space"));
    }
}
