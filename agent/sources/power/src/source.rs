//! Descriptor of the source.

use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Extension, Source};
use accelscope_core::table::Section;

use crate::explain::explain;
use crate::sampler::Sampler;
use crate::settings::{NAME, Settings};
use crate::{catalogue, key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Power>();

struct Power;

impl Source for Power {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const EXTENSIONS: &'static [Extension] = catalogue::EXTENSIONS;
    const TABLE: &'static [Section] = table::SECTIONS;
    const READS_ACCELERATORS: bool = false;
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        let sampler = Sampler::new(settings.clone(), &context.roots, &context.node_name, context.once);
        Box::new(sampler)
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        explain(&context.roots, settings)
    }
}
