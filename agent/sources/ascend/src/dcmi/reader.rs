//! Reads all chips, on the thread that calls libdcmi.

use std::path::PathBuf;
use std::time::Duration;

use super::open::{Driver, OpenError, open};
use super::read::{ChipReading, read};
use accelscope_core::worker::{Disconnected, Library, Pass, WorkerConfig};

/// What a pass yields.
#[derive(Debug)]
pub(super) enum Reading {
    /// First, the driver.
    Driver(About),
    /// Then each chip.
    Chip(Box<ChipReading>),
}

/// What does not change while the library is loaded.
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
    /// Until the library is started there is nothing to reply.
    const START: Option<Duration> = None;
    const RETRY: Duration = Duration::ZERO;

    /// The file of the library; absent where only the loader may know one.
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
            let reading = read(&self.library, self.generation, chip, pass);
            pass.send(Reading::Chip(Box::new(reading)))?;
        }
        Ok(())
    }
}
