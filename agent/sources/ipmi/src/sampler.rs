//! The agent's side: starts the worker where there is a device.

use std::io;
use std::process::Command;
use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, Instrument};
use accelscope_core::sampler::{Descriptor, Finding, Outcome, Sampler};
use accelscope_core::settings::Enabled;
use accelscope_core::source::Context;
use accelscope_core::worker::{Worker, WorkerSampler, own_program};

use super::place::{self, Place};
use super::worker::{Config, VARIABLE};
use super::{NAME, Settings, catalogue, explain};

/// What the worker may send; anything else from it is rejected.
pub(super) static INSTRUMENTS: &[&[&Instrument]] = &[
    catalogue::ALL,
    &[
        &hw::HOST_POWER,
        &hw::POWER,
        &hw::TEMPERATURE,
        &hw::TEMPERATURE_LIMIT,
        &hw::FAN_SPEED,
        &hw::FAN_SPEED_LIMIT,
        &hw::FAN_SPEED_RATIO,
        &hw::VOLTAGE,
        &hw::VOLTAGE_LIMIT,
        &hw::CURRENT,
        &hw::STATUS,
    ],
];
/// Time that a request takes beyond its own limit: the kernel's work for the last command, and the reply.
const MARGIN: Duration = Duration::from_secs(5);

/// The sampler `ipmi`.
pub(super) struct IpmiSampler {
    roots: HostRoots,
    descriptor: Descriptor,
    worker: Result<WorkerSampler, String>,
    /// The last findings, and whether the agent has had them.
    findings: Vec<Finding>,
    is_new: bool,
    has_series: bool,
}

impl IpmiSampler {
    /// Starts nothing: the worker starts with its first request.
    pub(super) fn new(settings: &Settings, context: &Context) -> Self {
        let descriptor = Descriptor {
            name: NAME,
            period: settings.period,
            deadline: settings.timeout + MARGIN,
        };
        let worker = command(settings, context).map(|command| {
            let worker = Worker::new(command);
            WorkerSampler::new(descriptor.clone(), INSTRUMENTS, catalogue::EXTENSIONS, worker)
        });
        Self {
            roots: context.roots.clone(),
            descriptor,
            worker: worker.map_err(|error| error.to_string()),
            findings: Vec::new(),
            is_new: false,
            has_series: false,
        }
    }
}

impl Sampler for IpmiSampler {
    fn descriptor(&self) -> Descriptor {
        self.worker
            .as_ref()
            .map_or_else(|_| self.descriptor.clone(), Sampler::descriptor)
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let place = place::look(&self.roots);
        let outcome = match (&place, &mut self.worker) {
            (Place::Node(_), Ok(worker)) => worker.sample(out),
            (Place::Node(_), Err(error)) => Outcome::Retry(error.clone().into()),
            (place, _) => Outcome::NothingHere(place.reason().to_owned()),
        };
        match outcome {
            Outcome::Sampled => self.has_series = true,
            // What was read is of a device that is gone.
            Outcome::NothingHere(_) if std::mem::take(&mut self.has_series) => {
                out.push(Batch::whole(NAME, Vec::new()));
            }
            _ => {}
        }
        let findings = explain::found(&place, &outcome);
        self.is_new |= findings != self.findings;
        self.findings = findings;
        outcome
    }

    fn new_findings(&mut self) -> Option<Vec<Finding>> {
        std::mem::take(&mut self.is_new).then(|| self.findings.clone())
    }
}

fn command(settings: &Settings, context: &Context) -> io::Result<Command> {
    let config = Config {
        root: context.roots.path("/"),
        node_name: context.node_name.clone(),
        timeout: settings.timeout,
        period: settings.period,
        sensors: settings.sensors,
        is_quiet: settings.enabled == Enabled::Auto,
    };
    let mut command = Command::new(own_program()?);
    command
        .args(["worker", NAME])
        .env(VARIABLE, serde_json::to_string(&config)?);
    Ok(command)
}
