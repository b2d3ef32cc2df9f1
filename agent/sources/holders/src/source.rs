//! Descriptor of the source.

use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Source};
use accelscope_core::table::Section;

use super::explain::explain;
use super::sampler::Sampler;
use super::settings::{NAME, Settings};
use super::{catalogue, key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Holders>();

struct Holders;

impl Source for Holders {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const TABLE: &'static [Section] = table::SECTIONS;
    const READS_ACCELERATORS: bool = false;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        Box::new(Sampler::new(settings.clone(), context))
    }

    fn explain(_: &Settings, context: &Context) -> Vec<Finding> {
        explain(&context.roots)
    }
}
