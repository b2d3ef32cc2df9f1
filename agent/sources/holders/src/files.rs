//! Files of control groups that are read again and again.
//!
//! The kernel makes their text anew at each read from the start (`kernfs_seq_start`, fs/kernfs/file.c), so that a file that
//! is kept open costs one call instead of three.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use accelscope_core::host::bounded::open_now;
use rustix::process::{Resource, getrlimit};

/// Longest text; `cpu.stat` of v2 has some 500 bytes.
const MAX_BYTES: usize = 4096;
/// Most files that are kept open, and what part of all that this process may have.
const MAX_OPEN: usize = 512;
const PART: u64 = 8;

/// How many files may still be kept open, and room for a text.
#[derive(Debug)]
pub(super) struct Reader {
    most: usize,
    open: usize,
    text: Box<[u8; MAX_BYTES]>,
}

/// A file of the kernel.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self {
            most: usize::try_from(files / PART).unwrap_or(MAX_OPEN).min(MAX_OPEN),
            open: 0,
            text: Box::new([0; MAX_BYTES]),
        }
    }

    /// So many are open now.
    pub(super) fn set_open(&mut self, open: usize) {
        self.open = open;
    }

    /// The text of the file.
    pub(super) fn read(&mut self, from: &mut KernelFile) -> io::Result<&str> {
        let file = if let Some(file) = from.file.take() {
            file
        } else {
            self.open += 1;
            open_now(&from.path)?
        };
        let length = rustix::io::pread(&file, &mut self.text[..], 0)?;
        if self.open <= self.most {
            from.file = Some(file);
        } else {
            self.open -= 1;
        }
        if length == MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::str::from_utf8(&self.text[..length]).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

impl KernelFile {
    /// Nothing where the kernel does not have it.
    pub(super) fn find(path: PathBuf) -> Option<Self> {
        path.exists().then_some(Self { path, file: None })
    }

    pub(super) const fn is_open(&self) -> bool {
        self.file.is_some()
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode};

    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_group_s_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("cpu.stat");
        rustix::fs::mkfifoat(CWD, &path, Mode::RWXU).expect("a pipe");
        let mut file = KernelFile::find(path).expect("it is there");
        assert!(Reader::new().read(&mut file).is_err());
    }
}
