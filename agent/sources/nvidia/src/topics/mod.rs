//! Topics of every GPU, in the order of reading.
#![forbid(unsafe_code)]

mod clocks;
mod ecc;
mod events;
mod features;
mod gpm;
mod info;
mod memory;
mod meter;
mod mig;
mod nvlink;
mod pcie;
mod power;
mod processes;
mod samples;
mod thermal;
mod utilization;

pub(super) use self::power::hw_type;
pub(super) use self::processes::namespace::{Namespace, REMEDY as NAMESPACE_REMEDY};
use super::nvml::Nvml;
use super::topic::{Stateless, Topic};
use accelscope_core::host::HostRoots;

/// All topics. The cheap and important ones come first, so that a later hang affects less.
pub(super) fn all(nvml: Nvml, roots: &HostRoots) -> Vec<Box<dyn Topic>> {
    vec![
        // First, since it reports a GPU that is about to be lost.
        Box::new(events::Events::default()),
        Box::new(info::Info::new(nvml)),
        Box::new(Stateless("utilization", utilization::read)),
        Box::new(Stateless("memory", memory::read)),
        Box::new(processes::Processes::new(roots)),
        Box::new(Stateless("mig", mig::read)),
        Box::new(samples::Samples::default()),
        Box::new(power::Power::default()),
        Box::new(Stateless("thermal", thermal::read)),
        Box::new(Stateless("clocks", clocks::read)),
        Box::new(Stateless("pcie", pcie::read)),
        Box::new(Stateless("ecc", ecc::read)),
        Box::new(nvlink::NvLink::default()),
        Box::new(gpm::Gpm::default()),
    ]
}
