//! The thread of a sampler: what one of them waits for delays no other.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::status::{Report, Status};
use accelscope_core::chain;
use accelscope_core::metric::{Batch, catalogue, key};
use accelscope_core::sampler::{Outcome, Sampler};
use accelscope_core::telemetry;

/// Stack of a sampler's thread in bytes; they read small files.
const STACK: usize = 512 << 10;
/// Time between two log lines about the same sampler's failure.
const LOG_EVERY: Duration = Duration::from_secs(300);

/// A finished run on its way to the pipeline.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) status: Arc<Status>,
    pub(super) report: Report,
    pub(super) batches: Vec<Batch>,
    /// The sampler's other parts no longer exist.
    pub(super) ends_others: bool,
}

/// Starts a sampler's thread. It ends with the process, or when the sampler is gone or the pipeline has ended.
pub(super) fn spawn(sampler: Box<dyn Sampler>, runs: SyncSender<Run>) -> io::Result<Arc<Status>> {
    let status = Status::new(sampler.descriptor());
    let name = format!("sampler-{}", status.descriptor.name);
    let shared = status.clone();
    // Here, not in the thread: its counters are there before anybody asks for them.
    let recorder = Recorder::new(status.descriptor.name);
    std::thread::Builder::new()
        .name(name)
        .stack_size(STACK)
        .spawn(move || run(sampler, recorder, &shared, &runs))?;
    Ok(status)
}

fn run(mut sampler: Box<dyn Sampler>, mut recorder: Recorder, status: &Arc<Status>, runs: &SyncSender<Run>) {
    loop {
        let started = Instant::now();
        let mut batches = Vec::new();
        status.start();
        let outcome = catch_unwind(AssertUnwindSafe(|| sampler.sample(&mut batches))).unwrap_or_else(|_| {
            Outcome::Retry("the sampler panicked; this is a fault of the agent, please report it".into())
        });
        if let Some(findings) = sampler.new_findings() {
            status.set_findings(findings);
        }
        status.stop();
        recorder.record(&outcome, started.elapsed());
        let gone = matches!(outcome, Outcome::Gone(_));
        let ends_others = gone || matches!(outcome, Outcome::NothingHere(_));
        let run = Run {
            status: status.clone(),
            report: Report::of(&outcome),
            batches,
            ends_others,
        };
        if runs.send(run).is_err() || gone {
            return;
        }
        sampler.wait(started + status.descriptor.period);
    }
}

struct Recorder {
    sampler: &'static str,
    duration: opentelemetry::metrics::Histogram<f64>,
    runs: opentelemetry::metrics::Counter<u64>,
    logged: Option<(String, Instant)>,
}

impl Recorder {
    fn new(sampler: &'static str) -> Self {
        let runs = telemetry::counter(&catalogue::agent::SAMPLER_RUNS);
        // A counter starts at a visible 0: otherwise the first failure is no increase to an alert.
        for outcome in ["retry", "deadline"] {
            let labels = [
                telemetry::label(key::AGENT_SAMPLER, sampler),
                telemetry::label(key::AGENT_OUTCOME, outcome),
            ];
            runs.add(0, &labels);
        }
        Self {
            sampler,
            duration: telemetry::histogram(&catalogue::agent::SAMPLER_DURATION),
            runs,
            logged: None,
        }
    }

    fn record(&mut self, outcome: &Outcome, took: Duration) {
        let sampler = telemetry::label(key::AGENT_SAMPLER, self.sampler);
        self.duration.record(took.as_secs_f64(), std::slice::from_ref(&sampler));
        self.runs
            .add(1, &[sampler, telemetry::label(key::AGENT_OUTCOME, outcome.as_str())]);
        match outcome {
            Outcome::Retry(error) => self.log_failure(chain(error.as_ref())),
            Outcome::Gone(reason) => tracing::warn!(sampler = self.sampler, reason, "sampler has ended"),
            Outcome::Sampled | Outcome::NothingHere(_) => {
                if self.logged.take().is_some() {
                    tracing::info!(sampler = self.sampler, "sampler works again");
                }
            }
        }
    }

    /// Once for each cause, and again when it has lasted.
    fn log_failure(&mut self, error: String) {
        if self
            .logged
            .as_ref()
            .is_some_and(|(last, at)| *last == error && at.elapsed() < LOG_EVERY)
        {
            return;
        }
        tracing::warn!(
            sampler = self.sampler,
            error,
            "sampler failed and will try again; `agent doctor` says more"
        );
        self.logged = Some((error, Instant::now()));
    }
}
