//! How each sampler's runs ended: for readiness, the table, `--once` and the agent's own metrics.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use accelscope_core::chain;
use accelscope_core::metric::{Batch, key};
use accelscope_core::sampler::{Descriptor, Finding, Outcome};

/// One sampler's state, shared by its thread, the pipeline and its readers.
#[derive(Debug)]
pub struct Status {
    /// The sampler's name, period and deadline.
    pub descriptor: Descriptor,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running_since: Option<Instant>,
    last: Option<Report>,
    found: Option<Found>,
    findings: Vec<Finding>,
    reported_stuck: bool,
}

/// What the first run with readings found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Devices that readings are of.
    pub devices: usize,
    /// Readings.
    pub readings: usize,
}

impl Found {
    fn of(batches: &[Batch]) -> Self {
        let points = || batches.iter().flat_map(|batch| &batch.points);
        let devices: HashSet<_> = points()
            .filter_map(|point| {
                let mut keys = [key::HW_ID, key::ACCEL_DEVICE_NAME].into_iter();
                keys.find_map(|key| point.attributes.get(key))
            })
            .collect();
        Self {
            devices: devices.len(),
            readings: points().count(),
        }
    }
}

/// How the last run ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// [`Outcome::as_str`].
    pub outcome: &'static str,
    /// The reason or error; empty where there were readings.
    pub detail: String,
    /// When.
    pub at: Instant,
}

impl Report {
    /// Of a run that ends now, with the whole chain of an error's causes.
    pub fn of(outcome: &Outcome) -> Self {
        let detail = match outcome {
            Outcome::Sampled => String::new(),
            Outcome::NothingHere(reason) | Outcome::Gone(reason) => reason.clone(),
            Outcome::Retry(error) => chain(error.as_ref()),
        };
        Self {
            outcome: outcome.as_str(),
            detail,
            at: Instant::now(),
        }
    }

    /// Whether there is nothing for the sampler to read.
    pub fn is_absence(&self) -> bool {
        self.outcome == "nothing_here"
    }

    /// Whether the sampler failed, which "nothing here" is not.
    pub fn is_failure(&self) -> bool {
        self.outcome == "retry"
    }
}

impl Status {
    pub(super) fn new(descriptor: Descriptor) -> Arc<Self> {
        Arc::new(Self {
            descriptor,
            state: Mutex::default(),
        })
    }

    /// How the last run ended that the pipeline has processed; nothing before the first.
    pub fn last(&self) -> Option<Report> {
        self.lock().last.clone()
    }

    /// Whether its first run is over, in one way or another.
    pub fn has_reported(&self) -> bool {
        let is_over = self.lock().last.is_some();
        is_over || self.stuck().is_some()
    }

    /// What the first run with readings found; nothing before its end.
    pub fn found(&self) -> Option<Found> {
        self.lock().found
    }

    /// The readings of a run that had some, of which the first one counts.
    pub(super) fn find(&self, batches: &[Batch]) {
        let mut state = self.lock();
        if state.found.is_none() {
            state.found = Some(Found::of(batches));
        }
    }

    /// What the sampler itself last found out about how it reads.
    pub fn findings(&self) -> Vec<Finding> {
        self.lock().findings.clone()
    }

    pub(super) fn set_findings(&self, findings: Vec<Finding>) {
        self.lock().findings = findings;
    }

    /// How long the current run has been over its deadline.
    pub fn stuck(&self) -> Option<Duration> {
        let running = self.lock().running_since?.elapsed();
        running
            .checked_sub(self.descriptor.deadline)
            .filter(|over| !over.is_zero())
    }

    /// When the current run, or one that starts now, is over its deadline.
    pub(super) fn deadline_after(&self, now: Instant) -> Instant {
        self.lock().running_since.unwrap_or(now) + self.descriptor.deadline
    }

    /// A run begins.
    pub(super) fn start(&self) {
        let mut state = self.lock();
        state.running_since = Some(Instant::now());
        state.reported_stuck = false;
    }

    /// The current run has ended.
    pub(super) fn stop(&self) {
        self.lock().running_since = None;
    }

    pub(super) fn report(&self, report: Report) {
        self.lock().last = Some(report);
    }

    /// Whether the current run is over its deadline; once for each run.
    pub(super) fn became_stuck(&self) -> bool {
        let stuck = self.stuck().is_some();
        stuck && !std::mem::replace(&mut self.lock().reported_stuck, true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
