//! The sampler `kmsg`: when it reads the log, and what it emits.

use std::io;
use std::time::{Duration, Instant};

use crate::log::{LogError, Progress};
use crate::reading::Reading;
use crate::settings::{NAME, Settings};
use crate::tally::{Skipped, Tally};
use accelscope_core::faults::Faults;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Batch, Timestamp};
use accelscope_core::sampler::{self, Descriptor, Outcome};
use accelscope_core::telemetry::ReasonCounter;

/// Longest time between two runs: all is emitted again, and PCI functions are looked at.
const PERIOD: Duration = Duration::from_mins(1);
/// Time for which the log is left alone after it was read, so that a flood costs a bounded share of the time.
const REST: Duration = Duration::from_secs(1);

/// The sampler `kmsg`.
#[derive(Debug)]
pub struct Sampler {
    roots: HostRoots,
    faults: Faults,
    tally: Tally,
    reading: Option<Reading>,
    /// What was found while it waited.
    failed: Option<io::Error>,
    rest_until: Option<Instant>,
    /// There is one run only: what the log has is read in it.
    once: bool,
    skipped: ReasonCounter,
}

impl Sampler {
    /// Reads nothing yet. `node_name` becomes part of the ids of devices without a UUID.
    pub fn new(_: &Settings, roots: HostRoots, node_name: String, faults: Faults, once: bool) -> Self {
        Self {
            tally: Tally::new(roots.clone(), node_name, faults.clone()),
            roots,
            faults,
            reading: None,
            failed: None,
            rest_until: None,
            once,
            skipped: ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME),
        }
    }

    fn open(&mut self) -> Result<(), LogError> {
        if self.reading.is_none() {
            let reading = Reading::open(&self.roots)?;
            self.faults.log_begins(reading.since());
            self.skipped.begin(Skipped::REASONS);
            self.reading = Some(reading);
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.reading.take().is_some() {
            self.faults.log_ends();
            self.tally.forget();
        }
    }

    /// Reads what is new, up to a number of records. Returns whether that changes what is emitted.
    fn read(&mut self) -> io::Result<bool> {
        let Some(reading) = &mut self.reading else {
            return Ok(false);
        };
        let mut skipped = Skipped::default();
        let is_changed = loop {
            let tally = &mut self.tally;
            let is_changed = reading.read(|found| tally.count(found, &mut skipped))?;
            if !self.once || !reading.has_history() {
                break is_changed;
            }
        };
        let Progress {
            overwritten, malformed, ..
        } = reading.take_progress();
        skipped.add(Skipped::OVERWRITTEN, overwritten);
        skipped.add(Skipped::MALFORMED, malformed);
        for (reason, count) in skipped.counts() {
            self.skipped.add(count, reason);
        }
        self.rest_until = Some(Instant::now() + REST);
        Ok(is_changed)
    }
}

impl sampler::Sampler for Sampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: NAME,
            period: PERIOD,
            deadline: Duration::from_secs(5),
        }
    }

    /// Reads as it waits, and returns when there was a fault: other lines are nobody's business.
    fn wait(&mut self, until: Instant) {
        loop {
            let now = Instant::now();
            let rest = self.rest_until.filter(|rest| *rest > now);
            let pause = match (&self.reading, rest) {
                (None, _) => Some(until),
                (Some(_), Some(rest)) => Some(rest.min(until)),
                (Some(_), None) => None,
            };
            if let Some(pause) = pause {
                std::thread::sleep(pause.saturating_duration_since(now));
            } else if !self.reading.as_ref().is_some_and(|reading| reading.wait(until)) {
                return;
            } else {
                match self.read() {
                    Ok(false) => {}
                    Ok(true) => return,
                    Err(error) => {
                        self.failed = Some(error);
                        return;
                    }
                }
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        self.tally.look(Instant::now(), PERIOD / 2);
        if self.tally.is_empty() {
            self.close();
            return Outcome::NothingHere("no accelerator on the PCI bus".to_owned());
        }
        match self.open() {
            Ok(()) => {}
            Err(error @ LogError::Failed(..)) => return Outcome::Retry(error.into()),
            Err(error) => return Outcome::NothingHere(error.to_string()),
        }
        let failed = self.failed.take().or_else(|| match self.rest_until {
            // It was just read.
            Some(rest) if rest > Instant::now() => None,
            _ => self.read().err(),
        });
        if let Some(error) = failed {
            self.close();
            return Outcome::Retry(error.into());
        }
        out.push(Batch::whole(NAME, self.tally.points(Instant::now(), Timestamp::now())));
        Outcome::Sampled
    }
}
