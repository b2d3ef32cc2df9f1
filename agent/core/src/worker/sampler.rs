//! A sampler that gets its readings from a worker process.

use std::time::Duration;

use super::child::{Worker, WorkerError};
use super::protocol::RenewalReason;
use super::reader::Reader;
use crate::metric::catalogue::agent;
use crate::metric::{Batch, CounterStarts, Instrument, key};
use crate::sampler::{Descriptor, Outcome, Sampler};
use crate::source::Extension;
use crate::telemetry::{self, ReasonCounter};

/// Time that a run may take beyond its request's deadline.
const KILLING: Duration = Duration::from_secs(1);

/// A sampler behind a worker process.
#[derive(Debug)]
pub struct WorkerSampler {
    descriptor: Descriptor,
    deadline: Duration,
    worker: Worker,
    recorders: Recorders,
    reader: Reader,
    renewed: Option<RenewalReason>,
}

#[derive(Debug)]
struct Recorders {
    age: opentelemetry::metrics::Gauge<f64>,
    stuck: opentelemetry::metrics::Gauge<f64>,
    restarts: ReasonCounter,
}

impl Recorders {
    fn new(sampler: &'static str) -> Self {
        let restarts = ReasonCounter::new(&agent::WORKER_RESTARTS, sampler);
        let renewals = RenewalReason::ALL.into_iter().map(RenewalReason::as_str);
        restarts.begin(WorkerError::REPLACES.into_iter().chain(renewals));
        Self {
            age: telemetry::gauge_f64(&agent::WORKER_AGE),
            stuck: telemetry::gauge_f64(&agent::WORKER_STUCK),
            restarts,
        }
    }
}

impl WorkerSampler {
    /// The worker may emit `instruments`, with the attributes of `extensions` beside their own. `descriptor.deadline` is
    /// the deadline of each request; the sampler's own is a little later, since killing a worker that missed it takes
    /// time too.
    pub fn new(
        mut descriptor: Descriptor,
        instruments: &[&[&'static Instrument]],
        extensions: &'static [Extension],
        worker: Worker,
    ) -> Self {
        let deadline = descriptor.deadline;
        descriptor.deadline += KILLING;
        Self {
            deadline,
            worker,
            recorders: Recorders::new(descriptor.name),
            reader: Reader::new(descriptor.name, instruments, extensions),
            descriptor,
            renewed: None,
        }
    }

    /// Why the last run ended with the process being replaced at its own request, if it did.
    pub const fn renewed(&self) -> Option<RenewalReason> {
        self.renewed
    }

    /// Sampler that replaces another one; `starts` is the result of its [`into_starts`](Self::into_starts).
    #[must_use]
    pub fn with_starts(mut self, starts: CounterStarts) -> Self {
        self.reader.starts = starts;
        self
    }

    /// Ends the worker and returns the start times of its counters, which the next one continues.
    #[must_use]
    pub fn into_starts(self) -> CounterStarts {
        self.reader.starts
    }
}

impl Sampler for WorkerSampler {
    fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let reader = &mut self.reader;
        let answer = self.worker.request(self.deadline, |mut reply| {
            let outcome = reader.outcome(&mut reply);
            reader.batches(reply, out);
            outcome
        });
        let recorders = &self.recorders;
        let sampler = [telemetry::label(key::AGENT_SAMPLER, self.descriptor.name)];
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        recorders.age.record(seconds(self.worker.age()), &sampler);
        recorders.stuck.record(seconds(self.worker.stuck()), &sampler);
        self.renewed = self.worker.take_renewed();
        if let Some(reason) = self.renewed {
            recorders.restarts.add(1, reason.as_str());
        }
        answer.unwrap_or_else(|error| {
            if WorkerError::REPLACES.contains(&error.reason()) {
                recorders.restarts.add(1, error.reason());
            }
            Outcome::Retry(Box::new(error))
        })
    }
}
