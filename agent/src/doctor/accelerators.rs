//! What each source can say of what it reads.

use super::{Finding, Level};
use crate::config::{Config, Enabled};
use accelscope_core::host::HostRoots;
use accelscope_core::sampler;

/// A source that can explain itself.
struct Source {
    /// Its section of the configuration.
    name: &'static str,
    /// Without any of those that read accelerators there is nothing to watch.
    accelerators: bool,
    /// It reads files, which disturbs nobody. Others ask a vendor's tool or library, or a service of the node, each for
    /// as long as it has patience: for a single look only, because beside a running agent they would be asked twice.
    only_files: bool,
    enabled: fn(&Config) -> Enabled,
    explain: fn(&Config, &HostRoots) -> Vec<sampler::Finding>,
}

/// Every source that is compiled in. A vendor adds one entry.
const SOURCES: &[Source] = &[
    #[cfg(feature = "hailo")]
    Source {
        name: "hailo",
        accelerators: true,
        only_files: true,
        enabled: |config| config.hailo.enabled,
        explain: |config, roots| accelscope_hailo::explain(roots, &config.hailo_settings()),
    },
    #[cfg(feature = "ascend")]
    Source {
        name: "ascend",
        accelerators: true,
        only_files: false,
        enabled: |config| config.ascend.enabled,
        explain: |config, roots| accelscope_ascend::explain(roots, &config.ascend_settings()),
    },
    #[cfg(feature = "nvidia")]
    Source {
        name: "nvidia",
        accelerators: true,
        only_files: false,
        enabled: |config| config.nvidia.enabled,
        explain: |config, roots| accelscope_nvidia::explain(roots, &config.nvidia_settings()),
    },
    #[cfg(feature = "ioctl")]
    Source {
        name: "ioctl",
        accelerators: true,
        // It attaches its programs once.
        only_files: false,
        enabled: |config| config.ioctl.enabled,
        explain: |config, roots| {
            let settings = config.ioctl_settings();
            let mut found = accelscope_ioctl::explain_devices(roots, &settings);
            found.extend(accelscope_ioctl::kernel::explain_hooks(roots, &settings));
            found
        },
    },
    #[cfg(feature = "kubelet")]
    Source {
        name: "kubelet",
        accelerators: false,
        only_files: false,
        enabled: |config| config.kubelet.enabled,
        explain: |config, roots| vec![accelscope_kubelet::explain(roots, &config.kubelet_settings())],
    },
];

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
