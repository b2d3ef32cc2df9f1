//! The source as the agent knows it.

use accelscope_core::device::DeviceFamily;
use accelscope_core::energy::EnergySource;
use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{Finding, Sampler};
use accelscope_core::source::{AllocatedDevice, Context, Descriptor, Extension, Source, WorkerMain};
use accelscope_core::table::Section;

use super::allocation::allocated_device;
use super::catalogue;
use super::{Settings, build, dcmi, dcmi::serve, explain, ioctl, key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Ascend>();

struct Ascend;

impl Source for Ascend {
    type Settings = Settings;

    const NAME: &'static str = super::settings::NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const EXTENSIONS: &'static [Extension] = catalogue::EXTENSIONS;
    const DEVICES: &'static [&'static DeviceFamily] = &[&ioctl::FAMILY];
    const TABLE: &'static [Section] = table::SECTIONS;
    const WORKER: Option<WorkerMain> = Some(serve);
    const ALLOCATED_DEVICE: Option<AllocatedDevice> = Some(allocated_device);
    const ENERGY_SOURCE: Option<EnergySource> = Some(EnergySource {
        name: |part| if part == dcmi::PART { part } else { "npu-smi" },
        instances: None,
    });

    fn build(settings: &Settings, context: &Context) -> Box<dyn Sampler> {
        build(settings, &context.roots, &context.node_name)
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        explain(&context.roots, settings)
    }
}
