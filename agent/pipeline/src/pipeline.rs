//! The thread that takes the samplers' runs: attribution, aggregation and the end of what is overdue.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::aggregation::Aggregator;
use super::attribution::{Attribution, Resolution};
use super::check_times::{self, CheckTimes};
use super::energy::Energy;
use super::registry::SeriesRegistry;
use super::sampler_thread::Run;
use super::status::{Report, Status};
use accelscope_core::metric::{Batch, Moment, Part, catalogue, key};
use accelscope_core::sampler::Outcome;
use accelscope_core::telemetry;

/// Shortest time between two searches for state of what has ended.
const EVICTION_INTERVAL: Duration = Duration::from_mins(1);

/// Takes samplers' runs until there are no more samplers.
pub(super) struct Pipeline {
    registry: Arc<SeriesRegistry>,
    attribution: Attribution,
    aggregator: Aggregator,
    energy: Energy,
    parts: HashMap<Part, Age>,
    statuses: Vec<Arc<Status>>,
    evicted: Instant,
    stuck: opentelemetry::metrics::Gauge<f64>,
    overdue: opentelemetry::metrics::Counter<u64>,
}

/// When the readings of a part end.
struct Age {
    read: Instant,
    max: Duration,
}

impl Pipeline {
    /// The deadlines of the samplers with these `statuses` are watched.
    pub(super) fn new(
        registry: Arc<SeriesRegistry>,
        attribution: Attribution,
        energy: Energy,
        statuses: Vec<Arc<Status>>,
    ) -> Self {
        let aggregator = Aggregator::new(registry.budget());
        let running = statuses.iter().map(|status| status.descriptor.name);
        attribution.holders().await_first(running);
        Self {
            registry,
            attribution,
            aggregator,
            energy,
            parts: HashMap::new(),
            statuses,
            evicted: Instant::now(),
            stuck: telemetry::gauge_f64(&catalogue::agent::SAMPLER_STUCK),
            overdue: telemetry::counter(&catalogue::agent::SAMPLER_RUNS),
        }
    }

    pub(super) fn run(mut self, runs: &Receiver<Run>) {
        self.check();
        let mut times = CheckTimes::new(Instant::now());
        loop {
            let now = Instant::now();
            let rest = times.rest(self.first_overdue(now), now);
            if rest.is_zero() {
                self.check();
                times.checked(now);
                continue;
            }
            match runs.recv_timeout(rest) {
                Ok(run) => {
                    self.registry.pulse().begin(run.status.descriptor.name);
                    self.process_or_report(run);
                    self.registry.pulse().end();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// [`check_overdue`](Self::check_overdue), which looks for names too.
    fn check(&mut self) {
        self.registry.pulse().begin("");
        self.check_overdue();
        self.registry.pulse().end();
    }

    /// The earliest time at which a part or a run can be overdue: an idle pipeline does not wake before. `now` where names are
    /// looked for.
    fn first_overdue(&self, now: Instant) -> Instant {
        if self.attribution.is_prefetching() {
            return now;
        }
        let parts = self.parts.values().map(|age| age.read + age.max);
        let runs = self.statuses.iter().map(|status| status.deadline_after(now));
        parts.chain(runs).min().unwrap_or(now + check_times::LATEST)
    }

    /// Without this thread nothing would be measured: a panic loses only the run that caused it, and is
    /// reported as the sampler's failure.
    fn process_or_report(&mut self, run: Run) {
        let status = run.status.clone();
        let process = || self.process(run, Moment::now());
        if catch_unwind(AssertUnwindSafe(process)).is_err() {
            let fault = "its readings could not be handled; this is a fault of the agent, please report it";
            tracing::error!(sampler = status.descriptor.name, "{fault}");
            status.report(Report::of(&Outcome::Retry(fault.into())));
        }
    }

    /// Takes a run that has arrived at `moment`.
    fn process(&mut self, run: Run, moment: Moment) {
        let now = moment.instant;
        let descriptor = &run.status.descriptor;
        let max = (descriptor.period * 3).max(descriptor.period + descriptor.deadline);
        let sampler = descriptor.name;
        if !run.report.is_failure() {
            // The parts that a run that succeeded leaves out keep their readings.
            let own = self.parts.iter_mut().filter(|(part, _)| part.sampler == sampler);
            own.for_each(|(_, age)| age.read = now);
        }
        self.attribution.prefetch_names(now);
        if now.duration_since(self.evicted) >= EVICTION_INTERVAL {
            self.evicted = now;
            self.attribution.evict(now);
            self.aggregator.evict(now, |process| self.attribution.is_alive(process));
        }
        if run.report.detail.is_empty() {
            run.status.find(&run.batches);
        }
        let (holders, pushed) = (self.attribution.holders().clone(), &run.batches);
        for batch in pushed {
            holders.set(&batch.part, &batch.points);
        }
        if run.ends_others {
            let is_pushed = |part: &Part| pushed.iter().any(|batch| batch.part == *part);
            holders.retain(|part| part.sampler != sampler || is_pushed(part));
        }
        holders.reported(sampler);
        let withheld = self.energy.withheld(&run.batches, |owner| {
            !matches!(self.attribution.resolve(owner, now), Resolution::Wait)
        });
        let mut batches: Vec<Batch> = run
            .batches
            .into_iter()
            .map(|batch| {
                let part = batch.part.clone();
                let points = self
                    .aggregator
                    .apply(batch, now, |owner| self.attribution.resolve(owner, now));
                Batch { part, points }
            })
            .collect();
        batches.extend(
            self.energy
                .of_run(sampler, &batches, &withheld, &mut self.attribution, now),
        );
        if run.ends_others {
            self.parts.retain(|part, _| part.sampler != sampler);
        }
        for batch in &batches {
            self.parts.insert(batch.part.clone(), Age { read: now, max });
        }
        let ends_others = run.ends_others;
        // All at once: a series that moves from one part to another does not end.
        let gone = |part: &Part| ends_others && part.sampler == sampler;
        self.registry.apply(batches, gone, moment.wall);
        self.stuck.record(0.0, &[telemetry::label(key::AGENT_SAMPLER, sampler)]);
        // Once the others have reported too, so that one line is of all of them.
        let mut others = self.statuses.iter().filter(|other| !Arc::ptr_eq(other, &run.status));
        if others.all(|other| other.has_reported()) {
            self.attribution.log_nameless(Instant::now());
        }
        run.status.report(run.report);
    }

    /// Ends the parts that have not been read for too long: the last values of a sampler that hangs must not stay.
    fn check_overdue(&mut self) {
        self.attribution.prefetch_names(Instant::now());
        let overdue = self.parts.extract_if(|_, age| age.read.elapsed() > age.max);
        let overdue: Vec<Part> = overdue.map(|(part, _)| part).collect();
        if !overdue.is_empty() {
            self.attribution.holders().retain(|part| !overdue.contains(part));
            self.registry.end(|part| overdue.contains(part));
        }
        for status in &self.statuses {
            let sampler = telemetry::label(key::AGENT_SAMPLER, status.descriptor.name);
            self.stuck.record(
                status.stuck().unwrap_or_default().as_secs_f64(),
                std::slice::from_ref(&sampler),
            );
            if status.became_stuck() {
                self.overdue
                    .add(1, &[sampler, telemetry::label(key::AGENT_OUTCOME, "deadline")]);
                tracing::warn!(
                    sampler = status.descriptor.name,
                    deadline = ?status.descriptor.deadline,
                    "sampler is over its deadline; its series end until it answers, the others go on",
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "soak_tests.rs"]
mod soak;
