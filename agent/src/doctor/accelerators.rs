//! What each sampler says of its accelerators.

use super::{Finding, Level};
use crate::config::{Config, Enabled};
use crate::host::HostRoots;
use crate::sampler;

/// Everything that the samplers can say; that none of them has anything to read stops the main job.
pub(super) fn accelerators(config: &Config, roots: &HostRoots) -> Vec<Finding> {
    let mut findings = Vec::new();
    #[cfg(feature = "hailo")]
    findings.extend(of("hailo", config.hailo.enabled, || {
        sampler::hailo::explain(roots, &config.hailo_settings())
    }));
    #[cfg(feature = "ascend")]
    findings.extend(of("ascend", config.ascend.enabled, || {
        sampler::ascend::explain(roots, &config.ascend_settings())
    }));
    #[cfg(feature = "ioctl")]
    findings.extend(of("ioctl", config.ioctl.enabled, || {
        let settings = config.ioctl_settings();
        let mut found = sampler::ioctl::explain_devices(roots, &settings);
        found.extend(sampler::ioctl::kernel::explain_hooks(roots, &settings));
        found
    }));
    if findings.iter().all(|finding| finding.level == Level::None) {
        findings.push(Finding::fail(
            "accelerators",
            "none that this agent knows was found: there is nothing to watch",
            "load the accelerator's driver; the lines above say which one each vendor needs",
        ));
    }
    findings
}

fn of(name: &'static str, enabled: Enabled, explain: impl FnOnce() -> Vec<sampler::Finding>) -> Vec<Finding> {
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
    explain().into_iter().map(convert).collect()
}
