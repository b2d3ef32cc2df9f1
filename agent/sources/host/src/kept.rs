//! Files of the kernel that stay open and are read again from their beginning.
//!
//! The kernel makes the content anew for each read at offset 0 (`seq_read_iter`, fs/seq_file.c; `kernfs_fop_read_iter`,
//! fs/kernfs/file.c; Linux 6.18), so that a reading costs one system call instead of three.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// Does not wait where something else than a file stands in the file's place.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
/// Bytes of a first reading of a file of any length.
const FIRST: usize = 4 << 10;

/// Such a file. It is opened at its first reading, and again after an error.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    file: Option<OwnedFd>,
}

impl Kept {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The beginning of the file, as much as the buffer takes. For files that the kernel makes as one record.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let length = self.pread(buffer, 0)?;
        Ok(&buffer[..length])
    }

    /// The whole file, at most `most` bytes of it.
    pub(crate) fn read_all<'a>(&mut self, buffer: &'a mut Vec<u8>, most: usize) -> io::Result<&'a [u8]> {
        if buffer.len() < FIRST {
            buffer.resize(FIRST, 0);
        }
        let mut length = 0;
        loop {
            let read = self.pread(&mut buffer[length..], length as u64)?;
            length += read;
            if read == 0 {
                return Ok(&buffer[..length]);
            }
            if length == buffer.len() {
                if length >= most {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                buffer.resize((2 * length).min(most), 0);
            }
        }
    }

    fn pread(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = match self.file.take() {
            Some(file) => file,
            None => rustix::fs::openat(CWD, &self.path, FLAGS, Mode::empty())?,
        };
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut *buffer, offset))?;
        self.file = Some(file);
        Ok(length)
    }
}

/// Whether the machine does not have the file, or not what it shows: no error. `psi=0` fails with EOPNOTSUPP.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || [Errno::OPNOTSUPP, Errno::NOSYS, Errno::NODEV, Errno::NOTDIR]
            .iter()
            .any(|absent| code == Some(absent.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_each_time_and_a_new_one_after_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut kept = Kept::new(path.clone());
        let mut buffer = [0; 8];
        assert!(is_absent(&kept.read(&mut buffer).unwrap_err()));
        std::fs::write(&path, "first").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), b"first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), b"second");
        std::fs::write(&path, "much longer").unwrap();
        assert_eq!(kept.read(&mut buffer).unwrap(), b"much lon");
    }

    #[test]
    fn a_long_file_is_read_whole_up_to_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let text = "x".repeat(3 * FIRST);
        std::fs::write(&path, &text).unwrap();
        let (mut kept, mut buffer) = (Kept::new(path), Vec::new());
        assert_eq!(kept.read_all(&mut buffer, 4 * FIRST).unwrap(), text.as_bytes());
        let refused = kept.read_all(&mut Vec::new(), 2 * FIRST).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_pipe_and_a_directory_are_errors_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
        let mut buffer = [0; 8];
        for path in [pipe, directory.path().to_owned()] {
            let error = Kept::new(path).read(&mut buffer).unwrap_err();
            assert!(!is_absent(&error), "{error}");
        }
    }

    #[test]
    fn a_kernel_file_of_many_records_is_read_as_by_others() {
        let mut kept = Kept::new("/proc/self/mountinfo".into());
        let mut buffer = Vec::new();
        for _ in 0..2 {
            let read = kept.read_all(&mut buffer, 1 << 20).unwrap();
            assert_eq!(read, std::fs::read("/proc/self/mountinfo").unwrap());
        }
    }
}
