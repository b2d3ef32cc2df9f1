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
/// Time after which a device that may not be opened, or has no driver, is tried again. No worker is kept for it.
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
            let remedy = place.remedy().map(|remedy| format!(": {remedy}")).unwrap_or_default();
            Outcome::NothingHere(format!("{}{remedy}", place.reason()))
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

    use accelscope_core::faults::Faults;
    use accelscope_core::holders::Holders;
    use accelscope_core::host::cgroups::Cgroups;
    use accelscope_core::sampler::Level;
    use rustix::fs::{CWD, FileType, Mode};

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

    /// A node is one of the driver while its number is that of an interface in sysfs.
    #[test]
    fn a_node_that_no_driver_stands_behind_is_quiet_and_names_the_modules() {
        let host = host(&["dev", "sys/class"]);
        let (node, mode) = (host.path().join("dev/ipmi0"), Mode::RUSR | Mode::WUSR);
        let number = rustix::fs::makedev(240, 3);
        if let Err(error) = rustix::fs::mknodat(CWD, node, FileType::CharacterDevice, mode, number) {
            skip_test::skip("mknod", &format!("no device node can be made: {error}"));
            return;
        }
        let has_stale = || {
            let (place, findings) = found(host.path());
            assert_eq!(place, Place::Stale("/dev/ipmi0"));
            let [finding] = findings.as_slice() else {
                panic!("{findings:?}")
            };
            assert_eq!(finding.level, Level::Nothing);
            assert!(
                finding.to_string().contains("modprobe ipmi_si ipmi_devintf"),
                "{finding}"
            );
        };
        has_stale();
        let settings = Settings::default();
        let context = accelscope_core::source::Context {
            roots: HostRoots::new(host.path()),
            ..context()
        };
        let mut sampler = IpmiSampler::new(&settings, &context);
        let outcome = sampler.sample(&mut Vec::new());
        assert!(
            matches!(&outcome, Outcome::NothingHere(why) if why.contains("modprobe ipmi_si ipmi_devintf")),
            "{outcome:?}"
        );
        assert!(sampler.worker.is_none(), "nobody opens it");
        let class = host.path().join("sys/class/ipmi/ipmi0");
        std::fs::create_dir_all(&class).unwrap();
        std::fs::write(class.join("dev"), "240:0\n").unwrap();
        has_stale();
        std::fs::write(class.join("dev"), "240:3\n").unwrap();
        assert_eq!(found(host.path()).0, Place::Node("/dev/ipmi0"));
        // What is not seen says nothing.
        std::fs::remove_dir_all(host.path().join("sys")).unwrap();
        assert_eq!(found(host.path()).0, Place::Node("/dev/ipmi0"));
    }

    fn context() -> Context {
        let roots = HostRoots::new("/");
        Context {
            cgroups: Cgroups::new(&roots),
            roots,
            node_name: String::new(),
            once: false,
            per_process: false,
            sources: &[],
            faults: Faults::default(),
            holders: Holders::default(),
        }
    }
}
