//! Descriptor of the source.

use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Source};
use accelscope_core::table::Section;

use crate::sampler::Sampler;
use crate::settings::{NAME, Settings};
use crate::{catalogue, explain, key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Host>();

struct Host;

impl Source for Host {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const TABLE: &'static [Section] = table::SECTIONS;
    const READS_ACCELERATORS: bool = false;
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        Box::new(Sampler::new(settings, context))
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        explain::explain(settings, &context.roots)
    }
}
