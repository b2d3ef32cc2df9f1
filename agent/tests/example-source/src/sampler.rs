//! The agent's side: starts the worker where there is a driver.

use std::io;
use std::process::Command;
use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, Instrument};
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};
use accelscope_core::source::Context;
use accelscope_core::worker::{Worker, WorkerSampler, own_program};

use super::{NAME, Settings, catalogue, worker};

/// Directory of the driver's devices in sysfs, as a path of the host.
pub(super) const CLASS: &str = "/sys/class/acme";

/// What the worker may send; anything else from it is rejected.
static INSTRUMENTS: &[&[&Instrument]] = &[catalogue::ALL, &[&hw::NPU_UTILIZATION]];

/// The sampler `acme`.
pub(super) struct AcmeSampler {
    roots: HostRoots,
    period: Duration,
    worker: Result<WorkerSampler, String>,
}

impl AcmeSampler {
    /// Starts nothing: the worker starts with its first request.
    pub(super) fn new(settings: &Settings, context: &Context) -> Self {
        let descriptor = descriptor(settings.period);
        let worker = command(settings, &context.roots)
            .map(|command| WorkerSampler::new(descriptor, INSTRUMENTS, &[], Worker::new(command)));
        Self {
            roots: context.roots.clone(),
            period: settings.period,
            worker: worker.map_err(|error| error.to_string()),
        }
    }
}

impl Sampler for AcmeSampler {
    fn descriptor(&self) -> Descriptor {
        self.worker
            .as_ref()
            .map_or_else(|_| descriptor(self.period), Sampler::descriptor)
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        if !self.roots.path(CLASS).is_dir() {
            return Outcome::NothingHere(format!("no Acme driver: {CLASS} does not exist"));
        }
        match &mut self.worker {
            Ok(worker) => worker.sample(out),
            Err(error) => Outcome::Retry(error.clone().into()),
        }
    }
}

fn descriptor(period: Duration) -> Descriptor {
    Descriptor {
        name: NAME,
        period,
        deadline: Duration::from_secs(5),
    }
}

fn command(settings: &Settings, roots: &HostRoots) -> io::Result<Command> {
    let mut command = Command::new(own_program()?);
    command
        .args(["worker", NAME])
        .env(worker::ROOT, roots.path("/"))
        .env(worker::JOBS, settings.jobs.to_string());
    Ok(command)
}
