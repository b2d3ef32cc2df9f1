//! `/dev/kmsg`: each read gives one record, and each open of it has a place of its own in the log.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::record::{self, Header};
use accelscope_core::host::{HostRoots, poll};

/// Longest record (`PRINTK_MESSAGE_MAX`, 2 KiB since Linux 6.4 and 8 KiB before); longer ones are an error to the kernel.
pub const MAX_RECORD_BYTES: usize = 8192;
/// Records that are read in one go, so that a flood takes a bounded time.
pub const BATCH: usize = 10_000;

const DEVICE: &str = "/dev/kmsg";

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{}: there is none", .0)]
    Absent(String),
    #[error("{}: the agent may not read it", .0)]
    Forbidden(String),
    #[error("{}: not a device", .0)]
    Other(String),
    #[error("{0}")]
    Failed(String, #[source] io::Error),
}

impl LogError {
    /// What to do about it.
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::Absent(_) => "in a container, mount the host's /dev below host.root",
            Self::Forbidden(_) => {
                "run the agent as root or with CAP_SYSLOG; a container must also be given the device (privileged, or by a \
                 device plugin), a systemd unit DeviceAllow=/dev/kmsg r and ProtectKernelLogs=no"
            }
            Self::Other(_) | Self::Failed(..) => "look whether `dmesg --follow` works on the host",
        }
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    buffer: Box<[u8]>,
    /// Sequence number of the next record, once one was read.
    next: Option<u64>,
}

/// What came of reading a number of records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Records that were read.
    pub(crate) records: usize,
    /// Records that the kernel had overwritten.
    pub(crate) overwritten: u64,
    /// What was no record, or too long for one.
    pub(crate) malformed: u64,
    /// There are no more for now.
    pub(crate) is_end: bool,
}

impl Progress {
    pub(crate) fn add(&mut self, more: Self) {
        self.records += more.records;
        self.overwritten = self.overwritten.saturating_add(more.overwritten);
        self.malformed += more.malformed;
    }
}

impl Log {
    /// Opens the log at its end, or with `from_begin` at the oldest record that it has.
    pub(crate) fn open(roots: &HostRoots, from_begin: bool) -> Result<Self, LogError> {
        let shown = || roots.path(DEVICE).display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => LogError::Absent(shown()),
            io::ErrorKind::PermissionDenied => LogError::Forbidden(shown()),
            _ => LogError::Failed(shown(), error),
        };
        let found = roots.find(DEVICE).map_err(failed)?;
        let kind = rustix::fs::fstat(&found).map_err(|error| failed(error.into()))?.st_mode;
        // A FIFO stands for the device in tests.
        if !matches!(
            FileType::from_raw_mode(kind),
            FileType::CharacterDevice | FileType::Fifo
        ) {
            return Err(LogError::Other(shown()));
        }
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(again, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let place = if from_begin {
            SeekFrom::Start(0)
        } else {
            SeekFrom::End(0)
        };
        match rustix::fs::seek(&file, place) {
            Ok(_) | Err(Errno::SPIPE) => {}
            Err(error) => return Err(failed(error.into())),
        }
        Ok(Self {
            file: file.into(),
            buffer: vec![0; MAX_RECORD_BYTES].into(),
            next: None,
        })
    }

    /// Whether it has a past.
    pub(crate) fn is_seekable(&self) -> bool {
        rustix::fs::seek(&self.file, SeekFrom::Start(0)).is_ok()
    }

    /// Reads up to `most` records, and gives those that the kernel has written to `take`, header and rest.
    pub(crate) fn read(&mut self, most: usize, mut take: impl FnMut(Header, &[u8])) -> io::Result<Progress> {
        let mut progress = Progress::default();
        for _ in 0..most {
            let length = match rustix::io::read(&self.file, &mut *self.buffer) {
                // No more; of a FIFO, no writer.
                Ok(0) | Err(Errno::AGAIN) => {
                    progress.is_end = true;
                    break;
                }
                Ok(length) => length,
                // PIPE: the place is now that of the oldest record; the gap in the numbers tells how many are gone.
                Err(Errno::INTR | Errno::PIPE) => continue,
                // It is longer than any may be; the kernel goes on behind it.
                Err(Errno::INVAL) => {
                    progress.malformed += 1;
                    self.next = self.next.map(|next| next + 1);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            progress.records += 1;
            let Some((header, rest)) = record::header(&self.buffer[..length]) else {
                progress.malformed += 1;
                continue;
            };
            let gap = self.next.map_or(0, |next| header.sequence.saturating_sub(next));
            progress.overwritten = progress.overwritten.saturating_add(gap);
            self.next = Some(header.sequence.saturating_add(1));
            if header.is_kernels {
                take(header, rest);
            }
        }
        Ok(progress)
    }

    /// Waits for a record, at most until `until`. Returns whether there may be one.
    pub(crate) fn wait(&self, until: Instant) -> bool {
        let file = PollFd::from_borrowed_fd(self.file.as_fd(), PollFlags::IN);
        poll::wait(&mut [file], Some(until)).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_of_the_machine_s_own_log_is_understood() {
        let mut log = match Log::open(&HostRoots::new("/"), true) {
            Ok(log) => log,
            Err(error) => return skip_test::skip("root", &error.to_string()),
        };
        let mut kernels = 0;
        let progress = log
            .read(100_000, |header, rest| {
                assert!(record::record(header, rest).is_some());
                kernels += 1;
            })
            .unwrap();
        assert_eq!((progress.malformed, progress.is_end), (0, true));
        assert!(kernels > 0 && kernels <= progress.records, "{kernels} {progress:?}");
    }
}
