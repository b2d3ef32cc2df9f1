//! How energy is attributed.

use accelscope_core::energy::Idle;
use accelscope_core::source::Sources;
use accelscope_pipeline::energy::Settings;

use crate::config::Config;

/// Of these sources, as the configuration has it.
pub fn energy(config: &Config, sources: Sources) -> Settings {
    let (enabled, idle) = chosen(config);
    let measuring = sources
        .iter()
        .filter_map(|source| Some((source.name, source.energy_source?)));
    Settings {
        enabled,
        idle,
        sources: measuring.collect(),
    }
}

#[cfg(feature = "power")]
fn chosen(config: &Config) -> (bool, Idle) {
    let section = config
        .sources
        .get::<accelscope_power::Settings>(accelscope_power::SOURCE.name);
    section.map_or_else(defaults, |section| (section.attributed, section.idle))
}

/// Accelerators measure their energy without the source that has the settings.
#[cfg(not(feature = "power"))]
fn chosen(_: &Config) -> (bool, Idle) {
    defaults()
}

fn defaults() -> (bool, Idle) {
    (true, Idle::default())
}
