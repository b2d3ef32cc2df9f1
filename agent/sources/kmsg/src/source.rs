//! Descriptor of the source.

use accelscope_core::metric::Instrument;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::sampler::{self, Finding};
use accelscope_core::source::{Context, Descriptor, Extension, Source};
use accelscope_core::table::Section;

use super::explain::explain;
use super::key::{NVIDIA_SXID, NVIDIA_XID};
use super::sampler::Sampler;
use super::settings::{NAME, Settings};
use super::{key, table};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Kmsg>();

struct Kmsg;

impl Source for Kmsg {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const EXTENSIONS: &'static [Extension] = &[Extension {
        instruments: &[&hw::ERRORS, &accel::FAULT_LAST_SEEN],
        attributes: &[NVIDIA_XID, NVIDIA_SXID],
    }];
    const TABLE: &'static [Section] = table::SECTIONS;
    const READS_ACCELERATORS: bool = false;
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn sampler::Sampler> {
        let (roots, node_name) = (context.roots.clone(), context.node_name.clone());
        Box::new(Sampler::new(
            settings,
            roots,
            node_name,
            context.faults.clone(),
            context.once,
        ))
    }

    fn explain(_: &Settings, context: &Context) -> Vec<Finding> {
        vec![explain(&context.roots)]
    }
}
