//! Sources of readings, one file or folder each.
//!
//! A sampler runs on a thread of its own, so that a read that hangs delays no other sampler. It does only file I/O there;
//! vendor libraries and tools run in a worker process.

pub use crate::finding::{Finding, Level};

use std::time::{Duration, Instant};

use crate::metric::Batch;

/// Properties of a sampler.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Its name, which is also its section of the configuration.
    pub name: &'static str,
    /// Longest time between two runs. An event-driven sampler also runs when something happened.
    pub period: Duration,
    /// A run that takes longer is reported as stuck.
    pub deadline: Duration,
}

/// A source of readings.
pub trait Sampler: Send {
    /// Its properties.
    fn descriptor(&self) -> Descriptor;

    /// Blocks until there may be something to read, at most until `until`. The default waits for the period's end.
    fn wait(&mut self, until: Instant) {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// One run: pushes the readings, one batch a part. A part that is not pushed keeps its last readings.
    ///
    /// A bad field loses only itself and a bad device only itself: what could be read is pushed, and what could not is
    /// counted (`agent.sampler.skipped`).
    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome;

    /// What it found out about how it reads, where that is other than at the last call. `agent doctor` shows it in place of
    /// what [`explain`](crate::source::Source::explain) finds out, since rights and kernel are those of the running agent.
    fn new_findings(&mut self) -> Option<Vec<Finding>> {
        None
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// There were readings.
    Sampled,
    /// No such hardware or nothing to report: not an error. The reason is for `agent doctor` and the table.
    NothingHere(String),
    /// It could not be read now; the next run tries again.
    Retry(Box<dyn std::error::Error + Send + Sync>),
    /// It will not come back; the sampler is not run again.
    Gone(String),
}

impl Outcome {
    /// Its value of the attribute `agent.outcome`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sampled => "sampled",
            Self::NothingHere(_) => "nothing_here",
            Self::Retry(_) => "retry",
            Self::Gone(_) => "gone",
        }
    }
}
