//! The interface to the running kernel.

use super::kernel::{Kernel, LiveKernel, Options};
use super::sampler::Open;
use super::settings::Settings;
use accelscope_core::host::HostRoots;

/// Opens it as the settings ask, when there is a device to watch.
pub fn open(settings: &Settings, roots: &HostRoots) -> Open {
    let (options, roots) = (Options::new(settings), roots.clone());
    Box::new(move || -> Box<dyn Kernel> { Box::new(LiveKernel::new(roots.clone(), options.clone())) })
}
