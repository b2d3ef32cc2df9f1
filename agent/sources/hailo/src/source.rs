//! The source as the agent knows it.

use accelscope_core::device::DeviceFamily;
use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{AllocatedDevice, Context, Descriptor, Source};
use accelscope_core::table::Section;

use super::allocation::allocated_device;
use super::catalogue;
use super::explain::explain;
use super::sampler::Sampler;
use super::settings::{NAME, Settings};
use super::{ioctl, ioctl_catalogue, key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Hailo>();

struct Hailo;

impl Source for Hailo {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL, ioctl_catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const DEVICES: &'static [&'static DeviceFamily] = &[&ioctl::FAMILY];
    const TABLE: &'static [Section] = table::SECTIONS;
    const ALLOCATED_DEVICE: Option<AllocatedDevice> = Some(allocated_device);
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        Box::new(Sampler::new(
            settings.clone(),
            context.roots.clone(),
            context.node_name.clone(),
        ))
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        explain(&context.roots, settings)
    }
}
