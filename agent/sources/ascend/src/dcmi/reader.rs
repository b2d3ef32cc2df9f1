//! Reads all chips, on the thread that calls libdcmi.

use std::path::PathBuf;
use std::time::Duration;

use super::open::{Driver, OpenError, open};
use super::read::{ChipReading, read};
use accelscope_core::worker::{Disconnected, Library, Pass, WorkerConfig};

/// Partial result of a pass.
#[derive(Debug)]
pub(super) enum Reading {
    /// The driver, first.
    Driver(About),
    /// One chip.
    Chip(Box<ChipReading>),
}

/// Constant properties while the library is loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) driver_version: Option<String>,
    pub(super) chips: usize,
    /// Number of cards with an unreadable number of chips.
    pub(super) silent_cards: u64,
}

impl Library for Driver {
    const NAME: &'static str = "libdcmi";
    const RESUMES: bool = false;
    /// There are no readings before the library is initialised.
    const START: Option<Duration> = None;
    const RETRY: Duration = Duration::ZERO;

    /// Path of the library; `None` if only the loader may find one.
    type Config = Option<PathBuf>;
    type Reading = Reading;
    type Summary = ();
    type Error = OpenError;

    fn open(config: WorkerConfig<Option<PathBuf>>) -> Result<Self, OpenError> {
        open(config.library)
    }

    fn read(&mut self, pass: &Pass<'_, Self>) -> Result<(), Disconnected> {
        pass.send(Reading::Driver(About {
            driver_version: self.version.clone(),
            chips: self.chips.len(),
            silent_cards: self.silent_cards,
        }))?;
        for chip in &mut self.chips {
            let reading = read(&self.library, chip, pass);
            pass.send(Reading::Chip(Box::new(reading)))?;
        }
        Ok(())
    }
}
