//! Descriptor of the source.

use accelscope_core::metric::Instrument;
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Source};

use super::explain::explain;
use super::sampler::Sampler;
use super::settings::{NAME, Settings};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Kubelet>();

struct Kubelet;

impl Source for Kubelet {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[];
    const READS_ACCELERATORS: bool = false;
    // In a pod it is mostly a mount that is missing.
    const LOGS_ABSENCE: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        let sources = context.sources.iter();
        let vendors = sources.filter_map(|source| source.allocated_device).collect();
        Box::new(Sampler::new(settings.clone(), context.roots.clone(), vendors))
    }

    fn explain(settings: &Settings, context: &Context) -> Vec<Finding> {
        vec![explain(&context.roots, settings)]
    }
}
