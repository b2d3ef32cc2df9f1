//! The way into the running kernel.

use super::kernel::{Kernel, Live, Options};
use super::sampler::Open;
use super::settings::Settings;
use accelscope_core::host::HostRoots;

/// Opens it when there is a device to watch, as the settings have it.
pub fn open(settings: &Settings, roots: &HostRoots) -> Open {
    let (options, roots) = (Options::new(settings), roots.clone());
    Box::new(move || -> Box<dyn Kernel> { Box::new(Live::new(roots.clone(), options.clone())) })
}
