//! The one table of samplers.

use std::time::Instant;

use crate::config::{Config, Enabled};
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::metric::Batch;
use accelscope_core::sampler::{Descriptor, Outcome, Sampler};

type Switch = fn(&Config) -> Enabled;
type Build = fn(&Config, &HostRoots, &str, &Surroundings) -> Box<dyn Sampler>;

/// What samplers share with the rest of the agent.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The host's control groups, which attribution knows too.
    pub cgroups: Cgroups,
    /// There is but one reading: what counts events watches for a while first.
    pub once: bool,
}

/// Every sampler that is compiled in: whether it is enabled, and how it is built. A vendor adds one line.
const SAMPLERS: &[(Switch, Build)] = &[
    #[cfg(feature = "hailo")]
    (|config| config.hailo.enabled, hailo),
    #[cfg(feature = "ascend")]
    (|config| config.ascend.enabled, ascend),
    #[cfg(feature = "kubelet")]
    (|config| config.kubelet.enabled, kubelet),
    #[cfg(feature = "nvidia")]
    (|config| config.nvidia.enabled, nvidia),
    #[cfg(feature = "ioctl")]
    (|config| config.ioctl.enabled, ioctl),
];

/// The samplers that the configuration enables.
pub fn samplers(
    config: &Config,
    roots: &HostRoots,
    node_name: &str,
    surroundings: &Surroundings,
) -> Vec<Box<dyn Sampler>> {
    let built = |(switch, build): &(Switch, Build)| match switch(config) {
        Enabled::False => None,
        Enabled::Auto => Some(build(config, roots, node_name, surroundings)),
        Enabled::True => Some(Box::new(Required(build(config, roots, node_name, surroundings))) as Box<dyn Sampler>),
    };
    SAMPLERS.iter().filter_map(built).collect()
}

/// A sampler that was switched on by hand: that there is nothing for it to read is a failure.
struct Required(Box<dyn Sampler>);

impl Sampler for Required {
    fn descriptor(&self) -> Descriptor {
        self.0.descriptor()
    }

    fn wait(&mut self, until: Instant) {
        self.0.wait(until);
    }

    fn sample(&mut self, out: &mut Vec<Batch>) -> Outcome {
        match self.0.sample(out) {
            Outcome::NothingHere(reason) => {
                let name = self.descriptor().name;
                Outcome::Retry(format!("{reason}; set {name}.enabled = \"auto\" if that is as it should be").into())
            }
            outcome => outcome,
        }
    }
}

#[cfg(feature = "hailo")]
fn hailo(config: &Config, roots: &HostRoots, node_name: &str, _: &Surroundings) -> Box<dyn Sampler> {
    let settings = config.hailo_settings();
    Box::new(accelscope_hailo::Sampler::new(
        settings,
        roots.clone(),
        node_name.to_owned(),
    ))
}

#[cfg(feature = "ascend")]
fn ascend(config: &Config, roots: &HostRoots, node_name: &str, _: &Surroundings) -> Box<dyn Sampler> {
    accelscope_ascend::build(&config.ascend_settings(), roots, node_name)
}

#[cfg(feature = "kubelet")]
fn kubelet(config: &Config, roots: &HostRoots, _node_name: &str, _: &Surroundings) -> Box<dyn Sampler> {
    let settings = config.kubelet_settings();
    Box::new(accelscope_kubelet::Sampler::new(settings, roots.clone()))
}

#[cfg(feature = "nvidia")]
fn nvidia(config: &Config, roots: &HostRoots, node_name: &str, _: &Surroundings) -> Box<dyn Sampler> {
    accelscope_nvidia::build(&config.nvidia_settings(), roots, node_name)
}

#[cfg(feature = "ioctl")]
fn ioctl(config: &Config, roots: &HostRoots, node_name: &str, surroundings: &Surroundings) -> Box<dyn Sampler> {
    use accelscope_ioctl as ioctl;
    /// How long `--once` watches.
    const WINDOW: std::time::Duration = std::time::Duration::from_secs(2);
    let settings = config.ioctl_settings();
    let open = ioctl::open(&settings, roots);
    Box::new(ioctl::Sampler::new(
        settings,
        roots.clone(),
        node_name.to_owned(),
        surroundings.cgroups.clone(),
        surroundings.once.then_some(WINDOW),
        open,
    ))
}
