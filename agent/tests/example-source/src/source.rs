//! The source as the agent knows it.

use accelscope_core::allocation::{node_name, vendor};
use accelscope_core::device::{DeviceFamily, NodeKind, Requires};
use accelscope_core::metric::{Attribute, Instrument};
use accelscope_core::sampler::{Finding, Sampler};
use accelscope_core::source::{AllocatedDevice, Context, Descriptor, Source, WorkerMain};
use accelscope_core::table::Section;

use super::sampler::{AcmeSampler, CLASS};
use super::{NAME, Settings, catalogue, key, table, worker};

/// The source.
pub static SOURCE: Descriptor = Descriptor::of::<Acme>();

/// Device nodes of Acme's driver. Its ioctls are not published.
static FAMILY: DeviceFamily = DeviceFamily {
    nodes: &[NodeKind {
        classes: &["acme"],
        drivers: &["acme"],
        nodes: &["acme#"],
        requires: Requires::Nothing,
    }],
    ..DeviceFamily::named(NAME)
};

struct Acme;

impl Source for Acme {
    type Settings = Settings;

    const NAME: &'static str = NAME;
    const INSTRUMENTS: &'static [&'static [&'static Instrument]] = &[catalogue::ALL];
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = key::ALL;
    const TABLE: &'static [Section] = table::SECTIONS;
    const DEVICES: &'static [&'static DeviceFamily] = &[&FAMILY];
    const WORKER: Option<WorkerMain> = Some(worker::main);
    const ALLOCATED_DEVICE: Option<AllocatedDevice> = Some(allocated_device);
    const EXPLAINS_FROM_FILES: bool = true;

    fn build(settings: &Settings, context: &Context) -> Box<dyn Sampler> {
        Box::new(AcmeSampler::new(settings, context))
    }

    fn explain(_: &Settings, context: &Context) -> Vec<Finding> {
        let devices = std::fs::read_dir(context.roots.path(CLASS)).map_or(0, Iterator::count);
        vec![match devices {
            0 => Finding::nothing(NAME, format!("no Acme NPU: {CLASS} is empty or missing"))
                .with_remedy("load the driver acme"),
            _ => Finding::ok(NAME, format!("{devices} Acme NPU(s)")),
        }]
    }
}

/// Acme's device plugin names devices by their nodes.
fn allocated_device(resource: &str, id: &str) -> Vec<Attribute> {
    let is_ours = vendor(resource) == "acme.com";
    is_ours.then(|| node_name(id, "acme")).flatten().into_iter().collect()
}
