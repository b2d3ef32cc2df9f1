//! Turns a worker's replies into batches. Each reading is validated before it is passed on.

use std::collections::HashMap;
use std::sync::Arc;

use super::attribute_cache::AttributeCache;
use super::fit::TOO_MANY;
use super::protocol::{MAX_POINTS, Reply, WireOutcome, WirePoint};
use crate::metric::catalogue::agent;
use crate::metric::{Batch, CounterStarts, Instrument, Owner, Point, Timestamp};
use crate::sampler::Outcome;
use crate::source::Extension;
use crate::telemetry::ReasonCounter;

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

/// Converts the replies of one sampler's worker, one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    sampler: &'static str,
    instruments: HashMap<&'static str, &'static Instrument>,
    extensions: &'static [Extension],
    /// Parts of the last reply with readings.
    parts: Vec<Arc<str>>,
    attributes: AttributeCache,
    pub(super) starts: CounterStarts,
    /// The reason that came with the last successful run.
    remark: String,
    rejected: ReasonCounter,
    skipped: ReasonCounter,
}

impl Reader {
    /// The worker may emit `instruments`, with the attributes of `extensions` beside their own.
    pub(super) fn new(
        sampler: &'static str,
        instruments: &[&[&'static Instrument]],
        extensions: &'static [Extension],
    ) -> Self {
        let rejected = ReasonCounter::new(&agent::WORKER_REJECTED, sampler);
        rejected.begin(REJECTIONS);
        let skipped = ReasonCounter::new(&agent::SAMPLER_SKIPPED, sampler);
        skipped.begin([TOO_MANY]);
        Self {
            sampler,
            instruments: instruments.concat().into_iter().map(|one| (one.name, one)).collect(),
            extensions,
            parts: Vec::new(),
            attributes: AttributeCache::default(),
            starts: CounterStarts::default(),
            remark: String::new(),
            rejected,
            skipped,
        }
    }

    /// How the run ended.
    pub(super) fn outcome(&mut self, reply: &mut Reply<'_>) -> Outcome {
        let reason = std::mem::take(&mut reply.reason);
        match reply.outcome {
            WireOutcome::Sampled => {
                if reason != self.remark {
                    match reason.as_str() {
                        "" => tracing::info!(sampler = self.sampler, "all is read again"),
                        reason => tracing::warn!(sampler = self.sampler, "{reason}"),
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

    /// Adds the reply's batches, and an empty one for each part of the previous reply that is not in this one.
    pub(super) fn batches(&mut self, reply: Reply<'_>, out: &mut Vec<Batch>) {
        self.attributes.begin();
        let names: Vec<Arc<str>> = reply.parts.iter().map(|part| self.name_of(&part.name)).collect();
        for gone in std::mem::replace(&mut self.parts, names.clone()) {
            if !names.contains(&gone) {
                out.push(Batch::new(self.sampler, gone, Vec::new()));
            }
        }
        let fits = |reason: &str| {
            let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-');
            reason.len() <= MAX_REASON_BYTES && reason.bytes().all(known)
        };
        for (reason, count) in reply.skipped.into_iter().take(MAX_REASONS) {
            let reason = if fits(&reason) { reason } else { "other".to_owned() };
            self.skipped.add(count, reason);
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
                    Err(reason) => self.rejected.add(1, reason),
                }
            }
            out.push(Batch::new(self.sampler, name, points));
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
