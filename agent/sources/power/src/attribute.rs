//! Files of sysfs that are read again and again.
//!
//! They stay open: a read at offset 0 asks the driver anew (`seq_read_iter`, fs/seq_file.c, Linux 6.18), and one of a device
//! that is gone fails with ENODEV. Not more than a share of the files that the process may have open.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use accelscope_core::host::bounded::open_now;
use rustix::process::{Resource, getrlimit};

use crate::reason::{self, Reason};

/// Most files that stay open, and the share of the process's limit that they may be.
const MOST_OPEN: u64 = 512;
const SHARE_OF_LIMIT: u64 = 4;
/// Limit in bytes; a number or a word has less.
const MOST_BYTES: usize = 128;

static OPEN: AtomicU64 = AtomicU64::new(0);

/// An attribute of a device.
#[derive(Debug)]
pub(crate) struct Attribute {
    path: PathBuf,
    open: Option<Open>,
}

/// A file that is counted while it is open.
#[derive(Debug)]
struct Open(File);

impl Open {
    fn keep(file: File) -> Option<Self> {
        let most = getrlimit(Resource::Nofile)
            .current
            .map_or(MOST_OPEN, |limit| MOST_OPEN.min(limit / SHARE_OF_LIMIT));
        let admit = |open| (open < most).then_some(open + 1);
        OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit)
            .is_ok()
            .then(|| Self(file))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Attribute {
    /// Opens nothing yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text now. `Ok(None)` if there is no such file.
    fn text<'a>(&mut self, buffer: &'a mut [u8; MOST_BYTES]) -> Result<Option<&'a str>, Reason> {
        let length = match self.fill(buffer) {
            Ok(length) => length,
            Err(error) => return reason::of_error(&error).map_or(Ok(None), Err),
        };
        let text = std::str::from_utf8(&buffer[..length]).map_err(|_| Reason::NotANumber)?;
        if length == MOST_BYTES {
            return Err(Reason::NotANumber);
        }
        Ok(Some(text.trim()))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        crate::tests::stuck::hang(&self.path);
        if let Some(Open(file)) = &self.open {
            // Outside of sysfs a file that was removed can still be read.
            let is_there = file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
            match file.read_at(buffer, 0) {
                Ok(length) if is_there => return Ok(length),
                // The device may have been registered anew.
                Err(error) if is_there && reason::of_error(&error).is_some() => return Err(error),
                _ => self.open = None,
            }
        }
        let file = open_now(&self.path)?;
        let length = file.read_at(buffer, 0)?;
        self.open = Open::keep(file);
        Ok(length)
    }

    /// The number now. `Ok(None)` if there is no such file.
    pub(crate) fn number(&mut self) -> Result<Option<i128>, Reason> {
        let mut buffer = [0; MOST_BYTES];
        let Some(text) = self.text(&mut buffer)? else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| Reason::NotANumber)
    }

    /// The word now, if there is one.
    pub(crate) fn word(&mut self) -> Result<Option<String>, Reason> {
        let mut buffer = [0; MOST_BYTES];
        let text = self.text(&mut buffer)?;
        Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
    }
}

/// The number in a file that is read rarely.
pub(crate) fn once(path: PathBuf) -> Result<Option<i128>, Reason> {
    Attribute::new(path).number()
}
