//! A monitor directory, or the call that has it while its file system is asked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use inotify::Watches;

use super::directory::Directory;
use super::living::Living;
use super::monitored::Monitored;
use super::skipped::Skipped;
use accelscope_core::LogLimiter;
use accelscope_core::host::callers::{Call, Callers};
use accelscope_core::metric::Moment;

/// What to do about a file system that does not answer.
pub(super) const REMEDY: &str = "end what serves its file system or unmount it (`umount -l`), or name another directory \
    (hailo.dir; hailo.discover = false for those of containers)";

/// A directory, or its call.
#[derive(Debug)]
pub(super) enum Slot {
    Here(Box<Monitored>),
    Away(Away),
}

/// A call that has not returned, and the path that it is about.
#[derive(Debug)]
pub(super) struct Away {
    pub(super) call: Call<Returned>,
    place: PathBuf,
    is_logged: bool,
}

/// What a call returned.
pub(super) enum Returned {
    Read {
        monitored: Box<Monitored>,
        changed: io::Result<bool>,
        skipped: Skipped,
    },
    Opened(io::Result<Option<(Directory, PathBuf)>>),
}

/// The call that reads the changed files of a directory.
pub(super) struct Read {
    pub(super) monitored: Box<Monitored>,
    pub(super) living: Living,
    /// What a watch is added with, if that is possible.
    pub(super) watches: Option<Watches>,
    pub(super) now: Moment,
}

impl Read {
    pub(super) fn run(mut self) -> Returned {
        let mut skipped = Skipped::default();
        if let Some(watches) = &self.watches {
            self.monitored.watch_with(watches, self.now.instant);
        }
        let changed = self.monitored.update(self.now, &mut self.living, &mut skipped);
        Returned::Read {
            monitored: self.monitored,
            changed,
            skipped,
        }
    }
}

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read { .. } => "Read",
            Self::Opened(_) => "Opened",
        })
    }
}

impl Slot {
    pub(super) fn here(&self) -> Option<&Monitored> {
        match self {
            Self::Here(monitored) => Some(monitored),
            Self::Away(_) => None,
        }
    }

    pub(super) fn here_mut(&mut self) -> Option<&mut Monitored> {
        match self {
            Self::Here(monitored) => Some(monitored),
            Self::Away(_) => None,
        }
    }
}

impl Away {
    pub(super) const fn new(call: Call<Returned>, place: PathBuf) -> Self {
        Self {
            call,
            place,
            is_logged: false,
        }
    }

    /// Starts to read the changed files of a directory, which is given back where no thread can be had for it.
    pub(super) fn start(callers: &Callers, read: Read) -> Result<Self, (io::Error, Box<Monitored>)> {
        let place = read.monitored.place.clone();
        match callers.reserve() {
            Ok(thread) => Ok(Self::new(thread.start(move || read.run()), place)),
            Err(error) => Err((error, read.monitored)),
        }
    }

    /// Logs that it takes too long, once.
    pub(super) fn overdue(&mut self, log: &LogLimiter) -> io::Error {
        if std::mem::replace(&mut self.is_logged, true) {
            return error(&self.place);
        }
        overdue(&self.place, log)
    }
}

/// Logs that a directory takes too long.
pub(super) fn overdue(place: &Path, log: &LogLimiter) -> io::Error {
    let error = error(place);
    if log.admit("hung").is_some() {
        tracing::warn!("{error}; it is left alone until it does, and the other directories are read all the same");
    }
    error
}

fn error(place: &Path) -> io::Error {
    let what = format!("{} does not answer: {REMEDY}", place.display());
    io::Error::new(io::ErrorKind::TimedOut, what)
}
