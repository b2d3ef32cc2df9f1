//! The log while it is read: from its end on, and once what it had before.

use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::fault::{Fault, Kind, Place};
use crate::log::{BATCH, Log, LogError, Progress};
use crate::pci::Pci;
use crate::recognise::{Malformed, Reported, Reports, Resets, recognise};
use crate::record::{self, Header};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::Timestamp;

/// Records from before the start that are read.
const MAX_HISTORY: usize = 200_000;
/// Records whose faults are counted together.
const CHUNK: usize = 500;

/// A fault in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) code: Option<i64>,
    pub(crate) whose: Whose,
    /// The process at fault of an XID, where the line tells it.
    pub(crate) process: Option<u32>,
    /// The log's own time of it, in microseconds since boot.
    pub(crate) micros: u64,
    pub(crate) time: Timestamp,
    /// Since when faults are counted; none of one from before.
    pub(crate) counts_since: Option<Timestamp>,
}

/// The device, as [`Place`] has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    Pci(Pci),
    Class(&'static str, String),
    Driver(&'static str),
}

impl From<Place<'_>> for Whose {
    fn from(place: Place<'_>) -> Self {
        match place {
            Place::Pci(pci) => Self::Pci(pci),
            Place::Class(class, name) => Self::Class(class, name.to_owned()),
            Place::Driver(driver) => Self::Driver(driver),
        }
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Reading {
    log: Lines,
    since: Timestamp,
    /// When the log was read last: what is new came after it.
    read_at: Timestamp,
    /// What the log had before, and how many records of it may still be read.
    history: Option<(Lines, usize)>,
    progress: Progress,
}

impl Reading {
    pub(crate) fn open(roots: &HostRoots) -> Result<Self, LogError> {
        let log = Log::open(roots, false)?;
        let since = Timestamp::now();
        let history = Log::open(roots, true)?;
        // A FIFO, which stands for the device in tests, has no past.
        let history = history.is_seekable().then(|| (Lines::of(history), MAX_HISTORY));
        Ok(Self {
            log: Lines::of(log),
            since,
            read_at: since,
            history,
            progress: Progress::default(),
        })
    }

    pub(crate) const fn since(&self) -> Timestamp {
        self.since
    }

    pub(crate) const fn has_history(&self) -> bool {
        self.history.is_some()
    }

    /// What was lost and unreadable since the last call.
    pub(crate) fn take_progress(&mut self) -> Progress {
        std::mem::take(&mut self.progress)
    }

    /// Waits for a record, at most until `until`. Returns whether there may be one.
    pub(crate) fn wait(&self, until: Instant) -> bool {
        self.history.is_some() || self.log.reports.is_open() || self.log.log.wait(until)
    }

    /// Reads up to a number of records. Returns whether there was a fault.
    pub(crate) fn read(&mut self, mut count: impl FnMut(&Found)) -> io::Result<bool> {
        let mut is_found = false;
        // First what counts, so that what came meanwhile is not taken for the past.
        for _ in 0..BATCH / CHUNK {
            let (mut found, progress) = self.log.chunk()?;
            if progress.is_end {
                found.extend(self.log.reports.end_old(Instant::now()).map(in_chunk));
            }
            let clock = Clock::now();
            for one in found {
                is_found = true;
                let time = clock.time(one.header.micros);
                count(&one.found(time.clamp(self.read_at.min(clock.wall), clock.wall), Some(self.since)));
            }
            self.progress.add(progress);
            if progress.is_end {
                break;
            }
        }
        self.read_at = Timestamp::now();
        let mut left = BATCH / CHUNK;
        while let Some((history, records)) = &mut self.history {
            let (mut found, progress) = history.chunk()?;
            *records = records.saturating_sub(progress.records);
            let is_end = progress.is_end || *records == 0;
            if is_end {
                found.extend(history.reports.end().map(in_chunk));
            }
            let clock = Clock::now();
            for one in found {
                is_found = true;
                let time = clock.time(one.header.micros);
                count(&one.found(time.min(clock.wall), None));
            }
            if is_end {
                self.history = None;
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        Ok(is_found)
    }
}

/// A fault, with the header of its record.
struct InChunk {
    header: Header,
    kind: Kind,
    code: Option<i64>,
    whose: Whose,
    process: Option<u32>,
}

impl InChunk {
    fn new(header: Header, fault: &Fault<'_>) -> Self {
        Self {
            header,
            kind: fault.kind,
            code: fault.code,
            whose: fault.place.into(),
            process: fault.process,
        }
    }

    fn found(self, time: Timestamp, counts_since: Option<Timestamp>) -> Found {
        Found {
            kind: self.kind,
            code: self.code,
            whose: self.whose,
            process: self.process,
            micros: self.header.micros,
            time,
            counts_since,
        }
    }
}

fn in_chunk((header, kind, pci): Reported) -> InChunk {
    InChunk::new(header, &Fault::new(kind, Place::Pci(pci)))
}

/// An open log, and what its last lines were about.
#[derive(Debug)]
struct Lines {
    log: Log,
    reports: Reports,
    resets: Resets,
}

impl Lines {
    fn of(log: Log) -> Self {
        Self {
            log,
            reports: Reports::default(),
            resets: Resets::default(),
        }
    }

    fn chunk(&mut self) -> io::Result<(Vec<InChunk>, Progress)> {
        let (mut found, mut malformed) = (Vec::new(), 0);
        let (reports, resets) = (&mut self.reports, &mut self.resets);
        let now = Instant::now();
        let mut progress = self.log.read(CHUNK, |header, rest| {
            let Some(record) = record::record(header, rest) else {
                malformed += 1;
                return;
            };
            match recognise(&record) {
                Ok(Some(fault)) if resets.is_another(&fault) => found.push(InChunk::new(header, &fault)),
                Ok(Some(_)) => {}
                Ok(None) => found.extend(reports.take(header, &record, now).map(in_chunk)),
                Err(Malformed) => malformed += 1,
            }
        })?;
        progress.malformed += malformed;
        Ok((found, progress))
    }
}

/// The clocks, to turn a record's time into one by the wall clock.
struct Clock {
    wall: Timestamp,
    since_boot: Duration,
}

impl Clock {
    fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            since_boot: Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default(),
        }
    }

    /// printk's clock runs as the monotonic one, but is not corrected: it may be some seconds off after weeks.
    fn time(&self, micros: u64) -> Timestamp {
        let ago = self.since_boot.saturating_sub(Duration::from_micros(micros));
        let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_unix_nanos(self.wall.unix_nanos().saturating_sub(ago))
    }
}
