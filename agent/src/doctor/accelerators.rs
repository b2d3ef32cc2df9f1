//! Findings of the sources.

use super::running::Running;
use crate::config::Config;
use accelscope_core::sampler::{Finding, Level};
use accelscope_core::settings::Enabled;
use accelscope_core::source::{Context, Descriptor};

/// Findings of all sources.
pub(super) fn accelerators(config: &Config, context: &Context, running: &Running) -> Vec<Finding> {
    let (vendors, others): (Vec<&Descriptor>, Vec<&Descriptor>) =
        context.sources.iter().partition(|source| source.reads_accelerators);
    let explain = |source: &Descriptor| findings(source, config, context, running);
    let mut found: Vec<_> = vendors.into_iter().flat_map(explain).collect();
    if found.iter().all(|finding| finding.level == Level::Nothing) {
        let what = "none that this agent knows was found: there is nothing to watch";
        found.push(
            Finding::nothing("accelerators", what)
                .with_remedy("load the accelerator's driver; the lines above say which one each vendor needs"),
        );
    }
    found.extend(others.into_iter().flat_map(explain));
    found
}

/// Findings of at least level `least` from sources that can be examined beside running samplers.
pub fn while_running(config: &Config, context: &Context, least: Level) -> Vec<Finding> {
    let enabled = |source: &&&Descriptor| config.sources.enabled(source) != Enabled::False;
    let sources = context.sources.iter().filter(|source| source.explains_from_files);
    sources
        .filter(enabled)
        .flat_map(|source| (source.explain)(&*config.sources.of(source), context))
        .filter(|finding| finding.level >= least)
        .collect()
}

/// Whether [`while_running`] includes the findings of that source.
pub fn explains_while_running(context: &Context, name: &str) -> bool {
    let mut sources = context.sources.iter();
    sources.any(|source| source.name == name && source.explains_from_files)
}

fn findings(source: &Descriptor, config: &Config, context: &Context, running: &Running) -> Vec<Finding> {
    let name = source.name;
    let settings = config.sources.of(source);
    if settings.enabled() == Enabled::False {
        return vec![Finding::nothing(name, "is switched off").with_remedy(format!("set {name}.enabled to auto"))];
    }
    // The rights and the kernel's answers that count are the running agent's.
    let mut findings = running.findings(source.name);
    if findings.is_empty() {
        findings = (source.explain)(&*settings, context);
    }
    // A source that is required must have accelerators.
    for finding in findings.iter_mut().filter(|_| settings.enabled() == Enabled::True) {
        if finding.level == Level::Nothing {
            finding.level = Level::Fail;
        }
    }
    findings.extend(running.trouble(source.name));
    findings
}
