//! Samplers' runs, attributed and merged, into the hub.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::hub::Hub;
use super::samplers::Run;
use super::status::{Report, Status};
use crate::attribution::{Attribution, Merger};
use accelscope_core::metric::{Batch, Part, catalogue, key};
use accelscope_core::sampler::Outcome;
use accelscope_core::telemetry;

/// Shortest time between two checks for what is overdue.
const CHECK_SOONEST: Duration = Duration::from_secs(1);
/// Longest time between two checks.
const CHECK_LATEST: Duration = Duration::from_mins(1);

/// Takes samplers' runs until there are no more samplers; on a thread of its own.
pub(super) struct Intake {
    hub: Arc<Hub>,
    attribution: Attribution,
    merger: Merger,
    parts: HashMap<Part, Seen>,
    watched: Vec<Arc<Status>>,
    stuck: opentelemetry::metrics::Gauge<f64>,
    overdue: opentelemetry::metrics::Counter<u64>,
}

struct Seen {
    at: Instant,
    keep: Duration,
}

impl Intake {
    pub(super) fn new(hub: Arc<Hub>, attribution: Attribution, merger: Merger) -> Self {
        Self {
            hub,
            attribution,
            merger,
            parts: HashMap::new(),
            watched: Vec::new(),
            stuck: telemetry::gauge_f64(&catalogue::agent::SAMPLER_STUCK),
            overdue: telemetry::counter(&catalogue::agent::SAMPLER_RUNS),
        }
    }

    pub(super) fn watch(&mut self, status: Arc<Status>) {
        self.watched.push(status);
    }

    pub(super) fn run(mut self, runs: &Receiver<Run>) {
        let mut next_check = Instant::now();
        loop {
            match runs.recv_timeout(next_check.saturating_duration_since(Instant::now())) {
                Ok(run) => {
                    self.take_unless_it_panics(run);
                    next_check = next_check.min(self.next_check(Instant::now()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next_check {
                self.look_after();
                next_check = self.next_check(Instant::now());
            }
        }
    }

    /// The earliest time at which a part or a run can be overdue: an idle pipeline does not wake before.
    fn next_check(&self, now: Instant) -> Instant {
        let parts = self.parts.values().map(|seen| seen.at + seen.keep);
        let runs = self.watched.iter().map(|status| status.deadline_after(now));
        let first = parts.chain(runs).min().unwrap_or(now + CHECK_LATEST);
        first.clamp(now + CHECK_SOONEST, now + CHECK_LATEST)
    }

    /// Without this thread nothing would be measured any more, and nobody would notice: a fault loses only the readings
    /// that it met.
    fn take_unless_it_panics(&mut self, run: Run) {
        let status = run.status.clone();
        if catch_unwind(AssertUnwindSafe(|| self.take(run))).is_err() {
            let fault = "its readings could not be handled; this is a fault of the agent, please report it";
            tracing::error!(sampler = status.descriptor.name, "{fault}");
            status.report(Report::of(&Outcome::Retry(fault.into())));
        }
    }

    fn take(&mut self, run: Run) {
        let descriptor = &run.status.descriptor;
        let keep = (descriptor.period * 3).max(descriptor.period + descriptor.deadline);
        let sampler = descriptor.name;
        if !run.report.is_failure() {
            // It looked, and what it said before of the parts that it does not name now still holds.
            let own = self.parts.iter_mut().filter(|(part, _)| part.sampler == sampler);
            own.for_each(|(_, seen)| seen.at = Instant::now());
        }
        self.attribution.tend(Instant::now());
        let mut named = Vec::new();
        for batch in run.batches {
            let part = batch.part.clone();
            let points = self.merger.apply(batch, &mut self.attribution);
            self.hub.take(Batch {
                part: part.clone(),
                points,
            });
            self.parts.insert(
                part.clone(),
                Seen {
                    at: Instant::now(),
                    keep,
                },
            );
            named.push(part);
        }
        if run.ends_others {
            self.parts
                .retain(|part, _| part.sampler != sampler || named.contains(part));
            self.hub.end(|part| part.sampler == sampler && !named.contains(part));
        }
        run.status.report(run.report);
    }

    /// Ends what has not been read for too long: a hung sampler must not leave its last values standing.
    fn look_after(&mut self) {
        self.attribution.tend(Instant::now());
        let overdue = self.parts.extract_if(|_, seen| seen.at.elapsed() > seen.keep);
        let overdue: Vec<Part> = overdue.map(|(part, _)| part).collect();
        if !overdue.is_empty() {
            self.hub.end(|part| overdue.contains(part));
        }
        for status in &self.watched {
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
mod tests {
    use super::*;
    use crate::Limits;
    use crate::Observer;
    use crate::attribution::Settings;
    use accelscope_core::host::HostRoots;
    use accelscope_core::metric::{Attributes, Point, Resource, Timestamp, key};
    use accelscope_core::sampler::Descriptor;
    use accelscope_core::telemetry::{Build, OwnMetrics};

    fn batch(part: &str) -> Batch {
        let point = Point {
            instrument: &catalogue::hailo::MONITOR_ACTIVE,
            attributes: Arc::new(Attributes::new([(key::HW_ID, part.into())])),
            owner: None,
            value: 1i64.into(),
            time: Timestamp::now(),
            start: None,
        };
        Batch {
            part: Part {
                sampler: "test",
                name: part.into(),
            },
            points: vec![point],
        }
    }

    fn intake(observer: Option<Observer>) -> (Intake, Arc<Hub>, Arc<Status>) {
        let limits = Limits {
            series_per_instrument: 10,
            series: 10,
        };
        let hub = Hub::new(
            OwnMetrics::install(Build::default()),
            Resource::default(),
            limits,
            false,
            observer,
        );
        let hub = Arc::new(hub);
        let attribution = Attribution::new(&HostRoots::new("/nonexistent"), Settings::default());
        let status = Status::new(Descriptor {
            name: "test",
            period: Duration::from_secs(1),
            deadline: Duration::from_secs(1),
            instruments: &[],
        });
        (Intake::new(hub.clone(), attribution, Merger::new()), hub, status)
    }

    fn run(status: &Arc<Status>, outcome: &Outcome, parts: &[&str]) -> Run {
        Run {
            status: status.clone(),
            report: Report::of(outcome),
            batches: parts.iter().map(|part| batch(part)).collect(),
            ends_others: false,
        }
    }

    #[test]
    fn a_part_keeps_its_readings_while_its_sampler_works_and_loses_them_when_it_fails() {
        let (mut intake, hub, status) = intake(None);
        let mut live_after = |outcome: &Outcome, parts: &[&str]| {
            for seen in intake.parts.values_mut() {
                seen.at -= seen.keep * 2;
            }
            intake.take(run(&status, outcome, parts));
            intake.look_after();
            hub.live().len()
        };
        assert_eq!(live_after(&Outcome::Sampled, &["a", "b"]), 2);
        assert_eq!(
            live_after(&Outcome::Sampled, &["a"]),
            2,
            "b was not read anew, and still holds"
        );
        assert_eq!(live_after(&Outcome::Sampled, &[]), 2);
        assert_eq!(live_after(&Outcome::Retry("no".into()), &["a"]), 1, "b is too old");
        assert_eq!(live_after(&Outcome::Retry("no".into()), &[]), 0);
    }

    #[test]
    fn a_fault_loses_the_readings_that_it_met_and_no_later_ones() {
        let mut faults = 1;
        let (intake, hub, status) = intake(Some(Box::new(move |_| {
            faults -= 1;
            assert!(faults < 0, "a fault of the agent");
        })));
        let (send, receive) = std::sync::mpsc::channel();
        send.send(run(&status, &Outcome::Sampled, &["a"])).unwrap();
        send.send(run(&Status::new(status.descriptor.clone()), &Outcome::Sampled, &["b"]))
            .unwrap();
        drop(send);
        intake.run(&receive);
        assert!(status.last().is_some_and(|report| report.is_failure()));
        assert!(
            hub.live()
                .iter()
                .any(|series| series.attributes.get(key::HW_ID) == Some(&"b".into()))
        );
    }
}
