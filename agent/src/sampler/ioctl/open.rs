//! The way into the running kernel.

use super::kernel::{Kernel, Live, Options, Rung};
use super::sampler::Open;
use super::settings::Settings;
use crate::host::HostRoots;

/// Opens it when there is a device to watch, as the settings have it.
pub fn open(settings: &Settings, roots: &HostRoots) -> Open {
    let hooks = settings.hooks.as_ref();
    let options = Options {
        hooks: hooks.map(|names| names.iter().filter_map(|name| Rung::named(name)).collect()),
        btf: settings.btf.clone(),
        per_process: settings.per_process,
    };
    let roots = roots.clone();
    Box::new(move || -> Box<dyn Kernel> { Box::new(Live::new(roots.clone(), options.clone())) })
}
