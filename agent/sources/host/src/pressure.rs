//! Pressure stall information (PSI): `/proc/pressure/*` (Documentation/accounting/psi.rst; Linux 4.20).
//!
//! A kernel without it (`CONFIG_PSI`) has no such files, and one that was told not to measure (`psi=0`, or no `psi=1` with
//! `CONFIG_PSI_DEFAULT_DISABLED`) fails each reading with EOPNOTSUPP.

use std::path::Path;
use std::sync::Arc;

use crate::catalogue::{PRESSURE_RATIO, PRESSURE_TIME};
use crate::kept::Kept;
use crate::key::{SYSTEM_LINUX_PRESSURE_RESOURCE, SYSTEM_LINUX_PRESSURE_STALL_TYPE};
use crate::parse::{decimal, lines, whole, words};
use crate::readings::{Readings, Reason};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Timestamp};

/// Bytes of a file of two lines.
const FILE: usize = 512;
/// A century in microseconds.
const MOST: u64 = 100 * 366 * 86_400 * 1_000_000;

/// Files, each with whether `full` means something: for the CPU of a whole machine it is always 0.
const RESOURCES: [(&str, bool); 3] = [("cpu", false), ("memory", true), ("io", true)];

/// The files.
#[derive(Debug)]
pub(crate) struct Pressure([Resource; RESOURCES.len()]);

#[derive(Debug)]
pub(crate) struct Resource {
    file: Kept,
    some: Arc<Attributes>,
    full: Option<Arc<Attributes>>,
}

impl Pressure {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self(RESOURCES.map(|(name, has_full)| {
            let attributes = |kind: &str| {
                Arc::new(Attributes::new([
                    (SYSTEM_LINUX_PRESSURE_RESOURCE, name.into()),
                    (SYSTEM_LINUX_PRESSURE_STALL_TYPE, kind.into()),
                ]))
            };
            Resource {
                file: Kept::new(roots.proc().join("pressure").join(name)),
                some: attributes("some"),
                full: has_full.then(|| attributes("full")),
            }
        }))
    }

    /// Reads all of them.
    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        for resource in &mut self.0 {
            resource.read(out);
        }
    }

    /// Each file.
    pub(crate) fn each(self) -> [Resource; RESOURCES.len()] {
        self.0
    }
}

impl Resource {
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn read(&mut self, out: &mut Readings<'_>) {
        let mut buffer = [0; FILE];
        let time = Timestamp::now();
        match self.file.read(&mut buffer) {
            Ok(text) => self.points(text, time, out),
            Err(error) => out.failed(error),
        }
    }

    fn points(&self, text: &[u8], time: Timestamp, out: &mut Readings<'_>) {
        for line in lines(text) {
            let mut words = words(line);
            let attributes = match words.next() {
                Some(b"some") => Some(&self.some),
                Some(b"full") => self.full.as_ref(),
                _ => None,
            };
            let Some(attributes) = attributes else { continue };
            let (mut average, mut total) = (None, None);
            for word in words {
                if let Some(word) = word.strip_prefix(b"avg10=") {
                    average = decimal(word);
                } else if let Some(word) = word.strip_prefix(b"total=") {
                    total = whole(word);
                }
            }
            match average {
                Some(percent) if percent <= 100.0 => out.gauge(&PRESSURE_RATIO, attributes, percent / 100.0, time),
                Some(_) => out.skip(Reason::OutOfRange),
                None => out.skip(Reason::Malformed),
            }
            match total {
                Some(total) if total <= MOST => {
                    let point = out.counter(&PRESSURE_TIME, attributes, total as f64 / 1e6, time);
                    out.push(point);
                }
                Some(_) => out.skip(Reason::OutOfRange),
                None => out.skip(Reason::Malformed),
            }
        }
    }
}

#[cfg(test)]
#[path = "pressure_tests.rs"]
mod tests;
