//! A sampler that gets its readings from a worker process. Each reading is validated before it is passed on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::attribute_cache::AttributeCache;
use super::child::{Worker, WorkerError};
use super::fit::TOO_MANY;
use super::protocol::{MAX_POINTS, RenewalReason, Reply, WireOutcome, WirePoint};
use crate::metric::catalogue::agent;
use crate::metric::{Batch, CounterStarts, Instrument, Owner, Point, Timestamp, key};
use crate::sampler::{Descriptor, Outcome, Sampler};
use crate::source::Extension;
use crate::telemetry::{self, ReasonCounter};

/// Time that a run may take beyond its request's deadline.
const KILLING: Duration = Duration::from_secs(1);
/// Limits of the reasons counted from one reply: number, and length in bytes.
const MAX_REASONS: usize = 64;
const MAX_REASON_BYTES: usize = 64;
/// Reasons for which a reading is refused.
const REJECTIONS: [&str; 8] = [
    "unknown_instrument",
    "unknown_attribute",
    "attribute_value",
    "attributes",
    "value",
    "owner",
    "start",
    TOO_MANY,
];

/// A sampler behind a worker process.
#[derive(Debug)]
pub struct WorkerSampler {
    deadline: Duration,
    worker: Worker,
    reader: Reader,
    renewed: Option<RenewalReason>,
}

/// Converts replies to batches.
#[derive(Debug)]
struct Reader {
    descriptor: Descriptor,
    recorders: Recorders,
    instruments: HashMap<&'static str, &'static Instrument>,
    extensions: &'static [Extension],
    /// Parts of the last reply with readings.
    parts: Vec<Arc<str>>,
    attributes: AttributeCache,
    starts: CounterStarts,
    /// The reason that came with the last successful run.
    remark: String,
}

#[derive(Debug)]
struct Recorders {
    age: opentelemetry::metrics::Gauge<f64>,
    stuck: opentelemetry::metrics::Gauge<f64>,
    restarts: ReasonCounter,
    rejected: ReasonCounter,
    skipped: ReasonCounter,
}

impl Recorders {
    fn begin(&self) {
        let renewals = RenewalReason::ALL.into_iter().map(RenewalReason::as_str);
        self.restarts.begin(WorkerError::REPLACES.into_iter().chain(renewals));
        self.rejected.begin(REJECTIONS);
        self.skipped.begin([TOO_MANY]);
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
        let by_reason = |instrument| ReasonCounter::new(instrument, descriptor.name);
        let recorders = Recorders {
            age: telemetry::gauge_f64(&agent::WORKER_AGE),
            stuck: telemetry::gauge_f64(&agent::WORKER_STUCK),
            restarts: by_reason(&agent::WORKER_RESTARTS),
            rejected: by_reason(&agent::WORKER_REJECTED),
            skipped: by_reason(&agent::SAMPLER_SKIPPED),
        };
        recorders.begin();
        let deadline = descriptor.deadline;
        descriptor.deadline += KILLING;
        let instruments = instruments.concat().into_iter().map(|one| (one.name, one)).collect();
        Self {
            deadline,
            worker,
            reader: Reader {
                descriptor,
                recorders,
                instruments,
                extensions,
                parts: Vec::new(),
                attributes: AttributeCache::default(),
                starts: CounterStarts::default(),
                remark: String::new(),
            },
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

impl Reader {
    fn outcome(&mut self, reply: &mut Reply<'_>) -> Outcome {
        let reason = std::mem::take(&mut reply.reason);
        match reply.outcome {
            WireOutcome::Sampled => {
                if reason != self.remark {
                    match reason.as_str() {
                        "" => tracing::info!(sampler = self.descriptor.name, "all is read again"),
                        reason => tracing::warn!(sampler = self.descriptor.name, "{reason}"),
                    }
                    self.remark = reason;
                }
                Outcome::Sampled
            }
            WireOutcome::NothingHere => Outcome::NothingHere(reason),
            WireOutcome::Retry => Outcome::Retry(reason.into()),
            WireOutcome::Gone => Outcome::Gone(reason),
        }
    }

    fn batches(&mut self, reply: Reply<'_>, out: &mut Vec<Batch>) {
        self.attributes.begin();
        let names: Vec<Arc<str>> = reply.parts.iter().map(|part| self.name_of(&part.name)).collect();
        for gone in std::mem::replace(&mut self.parts, names.clone()) {
            if !names.contains(&gone) {
                out.push(Batch::new(self.descriptor.name, gone, Vec::new()));
            }
        }
        let fits = |reason: &str| {
            let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
            reason.len() <= MAX_REASON_BYTES && reason.bytes().all(known)
        };
        for (reason, count) in reply.skipped.into_iter().take(MAX_REASONS) {
            let reason = if fits(&reason) { reason } else { "other".to_owned() };
            self.recorders.skipped.add(count, reason);
        }
        let mut left = MAX_POINTS;
        for (part, name) in reply.parts.into_iter().zip(names) {
            let mut points = Vec::with_capacity(part.points.len().min(left));
            for wire in part.points {
                let checked = if left == 0 { Err(TOO_MANY) } else { self.check(wire) };
                match checked {
                    Ok(mut point) => {
                        left -= 1;
                        // Values of processes are unchanged: the pipeline sums them.
                        if point.owner.is_none() {
                            self.starts.set_start(&mut point);
                        }
                        points.push(point);
                    }
                    Err(reason) => self.recorders.rejected.add(1, reason),
                }
            }
            out.push(Batch::new(self.descriptor.name, name, points));
        }
    }

    /// The name of a part, shared with the previous reply if it had the part.
    fn name_of(&self, name: &str) -> Arc<str> {
        let before = self.parts.iter().find(|known| &***known == name);
        before.map_or_else(|| name.into(), Arc::clone)
    }

    /// The reading, if the sampler may emit it and its value is valid; otherwise the reason.
    fn check(&mut self, wire: WirePoint<'_>) -> Result<Point, &'static str> {
        let instrument = *self.instruments.get(&*wire.name).ok_or("unknown_instrument")?;
        let attributes = self.attributes.attributes(
            instrument,
            wire.owner.is_some(),
            wire.attributes.as_deref(),
            self.extensions,
        )?;
        if !wire.value.is_valid_for(instrument) {
            return Err("value");
        }
        if wire.owner.is_some() && !instrument.owned {
            return Err("owner");
        }
        if instrument.kind.is_cumulative() && wire.start.is_none() {
            return Err("start");
        }
        Ok(Point {
            instrument,
            attributes,
            owner: wire.owner.map(|process| Owner::Process {
                process,
                always_pid: true,
            }),
            value: wire.value,
            // A worker on the same host has the same clock: no reading is from the future.
            time: wire.time.min(Timestamp::now()),
            start: wire.start,
        })
    }
}

impl Sampler for WorkerSampler {
    fn descriptor(&self) -> Descriptor {
        self.reader.descriptor.clone()
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let reader = &mut self.reader;
        let answer = self.worker.request(self.deadline, |mut reply| {
            let outcome = reader.outcome(&mut reply);
            reader.batches(reply, out);
            outcome
        });
        let recorders = &self.reader.recorders;
        let sampler = [telemetry::label(key::AGENT_SAMPLER, self.reader.descriptor.name)];
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
