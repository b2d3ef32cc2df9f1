//! The agent's side: starts the worker where there is a device.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

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
/// Time after which a device that may not be opened is tried again. No worker is kept for it.
const DENIED: Duration = Duration::from_mins(10);

/// The sampler `ipmi`.
pub(super) struct IpmiSampler {
    roots: HostRoots,
    descriptor: Descriptor,
    config: Config,
    worker: Option<WorkerSampler>,
    /// Why the device is left alone, and until when.
    denied: Option<(String, Instant)>,
    /// The last findings, and whether the agent has had them.
    findings: Vec<Finding>,
    is_new: bool,
    has_series: bool,
}

impl IpmiSampler {
    /// Starts nothing: the worker starts with its first request.
    pub(super) fn new(settings: &Settings, context: &Context) -> Self {
        Self {
            roots: context.roots.clone(),
            descriptor: Descriptor {
                name: NAME,
                period: settings.period,
                deadline: settings.timeout + MARGIN,
            },
            config: Config {
                root: context.roots.path("/"),
                node_name: context.node_name.clone(),
                timeout: settings.timeout,
                period: settings.period,
                sensors: settings.sensors,
                is_quiet: settings.enabled == Enabled::Auto,
            },
            worker: None,
            denied: None,
            findings: Vec::new(),
            is_new: false,
            has_series: false,
        }
    }

    fn ask(&mut self, out: &mut Vec<Batch>) -> Outcome {
        if let Some((why, until)) = &self.denied {
            if Instant::now() < *until {
                return Outcome::NothingHere(why.clone());
            }
            self.denied = None;
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => match command(&self.config) {
                Ok(command) => WorkerSampler::new(
                    self.descriptor.clone(),
                    INSTRUMENTS,
                    catalogue::EXTENSIONS,
                    Worker::new(command),
                ),
                Err(error) => return Outcome::Retry(error.into()),
            },
        };
        let worker = self.worker.insert(worker);
        let outcome = worker.sample(out);
        if let Outcome::NothingHere(why) = &outcome {
            self.denied = Some((why.clone(), Instant::now() + DENIED));
            self.worker = None;
        }
        outcome
    }
}

impl Sampler for IpmiSampler {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            // To kill a worker takes time too.
            deadline: self.descriptor.deadline + Duration::from_secs(1),
            ..self.descriptor.clone()
        }
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        let place = place::look(&self.roots);
        let outcome = if let Place::Node(_) = place {
            self.ask(out)
        } else {
            self.worker = None;
            self.denied = None;
            Outcome::NothingHere(place.reason().to_owned())
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

fn command(config: &Config) -> io::Result<Command> {
    let mut command = Command::new(own_program()?);
    command
        .args(["worker", NAME])
        .env(VARIABLE, serde_json::to_string(config)?);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A host's tree with these directories and files.
    fn host(directories: &[&str]) -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        for directory in directories {
            std::fs::create_dir_all(host.path().join(directory)).unwrap();
        }
        host
    }

    fn found(host: &Path) -> (Place, Vec<Finding>) {
        let roots = HostRoots::new(host);
        (place::look(&roots), explain::explain(&roots))
    }

    #[test]
    fn a_missing_node_is_explained_by_what_the_kernel_has() {
        let nothing = host(&["dev", "sys"]);
        let (place, findings) = found(nothing.path());
        assert_eq!(place, Place::Nothing);
        assert_eq!(findings[0].level, accelscope_core::sampler::Level::Nothing);
        assert_eq!(findings[0].remedy, None);
        let interface = host(&["sys/devices/platform/ipmi_bmc.0"]);
        let (place, findings) = found(interface.path());
        assert_eq!(place, Place::NoNode);
        assert!(
            findings[0].to_string().contains("modprobe ipmi_devintf"),
            "{findings:?}"
        );
        let firmware = host(&["sys/firmware/dmi/entries/38-0/type"]);
        let (place, findings) = found(firmware.path());
        assert_eq!(place, Place::NoDriver);
        assert!(findings[0].to_string().contains("modprobe ipmi_si"), "{findings:?}");
    }

    #[test]
    fn a_file_in_the_node_s_place_is_no_device() {
        let host = host(&["dev"]);
        std::fs::write(host.path().join("dev/ipmi0"), "").unwrap();
        assert_eq!(found(host.path()).0, Place::Nothing);
    }
}
