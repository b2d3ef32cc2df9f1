//! Descriptor of the source.

use accelscope_core::device::DeviceFamily;
use accelscope_core::energy::EnergySource;
use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{Finding, Sampler};
use accelscope_core::source::{AllocatedDevice, Context, Descriptor, Extension, Source, WorkerMain};
use accelscope_core::table::Section;

use super::allocation::allocated_device;
use super::catalogue;
use super::{Settings, build, explain, ioctl, key, serve, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Nvidia>();

struct Nvidia;

impl Source for Nvidia {
    type Settings = Settings;

    const NAME: &'static str = super::NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] =
        &[catalogue::nvidia::ALL, catalogue::nvidia_parts::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const EXTENSIONS: &'static [Extension] = catalogue::EXTENSIONS;
    const DEVICES: &'static [&'static DeviceFamily] = &[&ioctl::FAMILY];
    const TABLE: &'static [Section] = table::SECTIONS;
    const WORKER: Option<WorkerMain> = Some(serve);
    const ALLOCATED_DEVICE: Option<AllocatedDevice> = Some(allocated_device);
    const ENERGY_SOURCE: Option<EnergySource> = Some(EnergySource {
        name: |_| "nvml",
        instances: Some(catalogue::INSTANCES),
    });

    fn build(settings: &Settings, context: &Context) -> Box<dyn Sampler> {
        build(settings, &context.roots, &context.node_name, context.faults.clone())
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        explain(&context.roots, settings)
    }
}
