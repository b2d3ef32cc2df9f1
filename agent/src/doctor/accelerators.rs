//! What each source can say of what it reads.

use super::{Finding, Level};
use crate::config::{Config, Enabled};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler;

/// Everything that the sources can say; that none of them has accelerators to read stops the main job.
pub(super) fn accelerators(config: &Config, roots: &HostRoots) -> Vec<Finding> {
    let (vendors, others): (Vec<&Source>, Vec<&Source>) = SOURCES.iter().partition(|source| source.accelerators);
    let said = |source: &Source| findings(source, config, roots);
    let mut found: Vec<_> = vendors.into_iter().flat_map(said).collect();
    if found.iter().all(|finding| finding.level == Level::None) {
        found.push(Finding::fail(
            "accelerators",
            "none that this agent knows was found: there is nothing to watch",
            "load the accelerator's driver; the lines above say which one each vendor needs",
        ));
    }
    found.extend(others.into_iter().flat_map(said));
    found
}

/// What can be said while the samplers run: of the sources that read files, whatever hides something from them, and at
/// `least` that bad.
pub fn while_running(config: &Config, roots: &HostRoots, least: sampler::Level) -> Vec<sampler::Finding> {
    SOURCES
        .iter()
        .filter(|source| source.only_files && (source.enabled)(config) != Enabled::False)
        .flat_map(|source| (source.explain)(config, roots))
        .filter(|finding| finding.level >= least)
        .collect()
}

/// Whether [`while_running`] speaks of that source.
pub fn is_told_while_running(name: &str) -> bool {
    SOURCES.iter().any(|source| source.name == name && source.only_files)
}

fn findings(source: &Source, config: &Config, roots: &HostRoots) -> Vec<Finding> {
    let (name, enabled) = (source.name, (source.enabled)(config));
    if enabled == Enabled::False {
        return vec![Finding::none(
            name,
            "is switched off",
            format!("set {name}.enabled to auto"),
        )];
    }
    let convert = |finding: sampler::Finding| {
        let (what, remedy) = (finding.what, finding.remedy.unwrap_or_default());
        match finding.level {
            sampler::Level::Ok => Finding::ok(name, what),
            sampler::Level::Nothing if enabled == Enabled::Auto => Finding::none(name, what, remedy),
            sampler::Level::Warn => Finding::warn(name, what, remedy),
            sampler::Level::Nothing | sampler::Level::Fail => Finding::fail(name, what, remedy),
        }
    };
    (source.explain)(config, roots).into_iter().map(convert).collect()
}
