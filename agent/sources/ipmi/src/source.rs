//! The source as the agent knows it.

use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{Finding, Sampler};
use accelscope_core::source::{Context, Descriptor, Extension, Source, WorkerMain};
use accelscope_core::table::Section;

use super::sampler::IpmiSampler;
use super::{NAME, Settings, catalogue, explain, key, table, worker};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Ipmi>();

struct Ipmi;

impl Source for Ipmi {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const EXTENSIONS: &'static [Extension] = catalogue::EXTENSIONS;
    const TABLE: &'static [Section] = table::SECTIONS;
    const WORKER: Option<WorkerMain> = Some(worker::main);
    const READS_ACCELERATORS: bool = false;
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn Sampler> {
        Box::new(IpmiSampler::new(settings, context))
    }

    fn explain(_: &Settings, context: &Context) -> Vec<Finding> {
        explain::explain(&context.roots)
    }
}
