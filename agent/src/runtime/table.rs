//! The one table of samplers.

use crate::config::{Config, Enabled};
use crate::host::HostRoots;
use crate::sampler::Sampler;

type Switch = fn(&Config) -> Enabled;
type Build = fn(&Config, &HostRoots, &str) -> Box<dyn Sampler>;

/// Every sampler that is compiled in: whether it is enabled, and how it is built. A vendor adds one line.
const SAMPLERS: &[(Switch, Build)] = &[
    #[cfg(feature = "hailo")]
    (
        |config| config.hailo.enabled,
        |config, roots, node| Box::new(hailo(config, roots, node)),
    ),
];

/// The samplers that the configuration enables.
pub fn samplers(config: &Config, roots: &HostRoots, node_name: &str) -> Vec<Box<dyn Sampler>> {
    let enabled = SAMPLERS.iter().filter(|(enabled, _)| enabled(config) != Enabled::False);
    enabled.map(|(_, build)| build(config, roots, node_name)).collect()
}

#[cfg(feature = "hailo")]
fn hailo(config: &Config, roots: &HostRoots, node_name: &str) -> crate::sampler::hailo::Sampler {
    crate::sampler::hailo::Sampler::new(config.hailo_settings(), roots.clone(), node_name.to_owned())
}
