//! The source as the agent knows it.

use accelscope_core::device::DeviceFamily;
use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Source};
use accelscope_core::table::Section;

use super::catalogue;
use super::kernel::explain_hooks;
use super::{Configuration, Sampler, explain_devices, families, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Ioctl>();

struct Ioctl;

impl Source for Ioctl {
    type Settings = Configuration;

    const NAME: &'static str = super::sampler::NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const TABLE: &'static [Section] = table::SECTIONS;
    const DEVICES: &'static [&'static DeviceFamily] = families::OWN;

    fn build(configuration: &Configuration, context: &Context) -> Box<dyn sampler::Sampler> {
        Box::new(Sampler::new(configuration, context))
    }

    fn explain(configuration: &Configuration, context: &Context) -> Vec<Finding> {
        let mut found = explain_devices(configuration, context);
        found.extend(explain_hooks(configuration, context));
        found
    }
}
