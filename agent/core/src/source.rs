//! The contract of a source: everything that the agent needs to know to configure, run, explain, show and document it.
//!
//! A source's crate implements [`Source`] once and exports `SOURCE`, a [`Descriptor`] of it. The binary's list of
//! descriptors is the only place that names all sources; the configuration, `doctor`, the table, the worker command and
//! the documents follow from it.

use std::any::Any;
use std::fmt::Debug;

use crate::device::DeviceFamily;
use crate::energy::EnergySource;
use crate::faults::Faults;
use crate::holders::Holders;
use crate::host::HostRoots;
use crate::host::cgroups::Cgroups;
use crate::metric::{Attribute, Instrument, catalogue, key};
use crate::sampler::{Finding, Sampler};
use crate::settings::{AnySettings, Settings, SettingsType};
use crate::table::Section;

/// The sources that are built into the agent, in the order in which they are shown.
pub type Sources = &'static [&'static Descriptor];

/// A worker's main function. It serves requests on standard input and output until its parent closes them.
pub type WorkerMain = fn() -> std::io::Result<()>;

/// Attributes for the allocated device `id` of the extended resource `resource`, such as `example.com/gpu`: those under
/// which the source shows the same device. Empty where the id is not of the source's vendor, or tells nothing.
pub type AllocatedDevice = fn(resource: &str, id: &str) -> Vec<Attribute>;

/// Attributes that a source adds to instruments that several sources share.
#[derive(Debug, Clone, Copy)]
pub struct Extension {
    /// The shared instruments.
    pub instruments: &'static [&'static Instrument],
    /// The keys that their points carry in addition.
    pub attributes: &'static [&'static str],
}

impl Extension {
    /// The keys that these extensions add to an instrument.
    pub fn keys<'a>(extensions: &'a [Self], instrument: &'a Instrument) -> impl Iterator<Item = &'static str> + 'a {
        let of = extensions
            .iter()
            .filter(move |one| one.instruments.contains(&instrument));
        of.flat_map(|one| one.attributes).copied()
    }
}

/// Every instrument that the agent with these sources can emit, its own included, sorted by name.
pub fn instruments(sources: Sources) -> Vec<&'static Instrument> {
    let own = sources
        .iter()
        .flat_map(|source| source.instruments)
        .flat_map(|group| *group);
    let mut all: Vec<_> = own.copied().chain(catalogue::all()).collect();
    all.sort_by_key(|instrument| instrument.name);
    all
}

/// Every key that an instrument's points may carry with these sources, those of the owner aside.
pub fn attribute_keys(sources: Sources, instrument: &Instrument) -> Vec<&'static str> {
    let more = sources
        .iter()
        .flat_map(|source| Extension::keys(source.extensions, instrument));
    let mut keys: Vec<&str> = instrument.attributes.to_vec();
    for key in more {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// Every attribute key with its meaning.
pub fn attributes(sources: Sources) -> Vec<(&'static str, &'static str)> {
    let own = sources.iter().flat_map(|source| source.attributes);
    key::ALL.iter().chain(own).copied().collect()
}

/// What a source is built from, apart from its settings.
#[derive(Debug, Clone)]
pub struct Context {
    /// The host's file systems.
    pub roots: HostRoots,
    /// Name of the node, for derived `hw.id`s.
    pub node_name: String,
    /// The host's control groups, shared with attribution.
    pub cgroups: Cgroups,
    /// The processes that hold an accelerator, by the readings of all sources.
    pub holders: Holders,
    /// There is one reading only (`--once`): a source that counts events first watches for a while.
    pub once: bool,
    /// A series for each process (`attribution.per_process`).
    pub per_process: bool,
    /// Every source that is built in.
    pub sources: Sources,
    /// Faults that a library and the kernel's log report, shared by the sources of both.
    pub faults: Faults,
}

/// A source of readings.
pub trait Source {
    /// Its settings.
    type Settings: Settings;

    /// Name of the source, of its section of the configuration, of its worker and of its cargo feature.
    const NAME: &'static str;
    /// Every instrument of its own.
    const INSTRUMENTS: &'static [&'static [&'static Instrument]];
    /// Attribute keys of its own, each with its meaning.
    const ATTRIBUTES: &'static [(&'static str, &'static str)] = &[];
    /// Its own attributes on shared instruments.
    const EXTENSIONS: &'static [Extension] = &[];
    /// Sections of the live table.
    const TABLE: &'static [Section] = &[];
    /// Families of device nodes, with the names of their ioctls.
    const DEVICES: &'static [&'static DeviceFamily] = &[];
    /// Main function of its worker process.
    const WORKER: Option<WorkerMain> = None;
    /// Which device an allocation of the kubelet is.
    const ALLOCATED_DEVICE: Option<AllocatedDevice> = None;
    /// Where its parts measure energy, where that is not the part's name.
    const ENERGY_SOURCE: Option<EnergySource> = None;
    /// Whether it reads accelerators: without any that does the agent has nothing to watch.
    const READS_ACCELERATORS: bool = true;
    /// Whether the log says at a start that it has found nothing: that a machine has no such sensors is no news.
    const LOGS_ABSENCE: bool = Self::READS_ACCELERATORS;
    /// Whether [`explain`](Self::explain) reads nothing but files, so that it may run beside a running agent, and in one that
    /// `agent doctor` asks. A source that asks a vendor's tool or library would ask it twice.
    const EXPLAINS_FROM_FILES: bool = false;

    /// Builds its sampler.
    fn build(settings: &Self::Settings, context: &Context) -> Box<dyn Sampler>;

    /// Finds out why something is not seen, and how to change that. Nothing is modified and no device node is opened.
    fn explain(settings: &Self::Settings, context: &Context) -> Vec<Finding>;
}

/// A [`Source`] as a value. Its fields are the constants of the same names.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field is documented at the constant of `Source` with its name"
)]
pub struct Descriptor {
    pub name: &'static str,
    pub settings: SettingsType,
    pub instruments: &'static [&'static [&'static Instrument]],
    pub attributes: &'static [(&'static str, &'static str)],
    pub extensions: &'static [Extension],
    pub table: &'static [Section],
    pub devices: &'static [&'static DeviceFamily],
    pub worker: Option<WorkerMain>,
    pub allocated_device: Option<AllocatedDevice>,
    pub energy_source: Option<EnergySource>,
    pub reads_accelerators: bool,
    pub logs_absence: bool,
    pub explains_from_files: bool,
    pub build: fn(&dyn AnySettings, &Context) -> Box<dyn Sampler>,
    pub explain: fn(&dyn AnySettings, &Context) -> Vec<Finding>,
}

impl Descriptor {
    /// Of `S`.
    pub const fn of<S: Source>() -> Self {
        Self {
            name: S::NAME,
            settings: SettingsType::of::<S::Settings>(),
            instruments: S::INSTRUMENTS,
            attributes: S::ATTRIBUTES,
            extensions: S::EXTENSIONS,
            table: S::TABLE,
            devices: S::DEVICES,
            worker: S::WORKER,
            allocated_device: S::ALLOCATED_DEVICE,
            energy_source: S::ENERGY_SOURCE,
            reads_accelerators: S::READS_ACCELERATORS,
            logs_absence: S::LOGS_ABSENCE,
            explains_from_files: S::EXPLAINS_FROM_FILES,
            build: |settings, context| S::build(&own::<S>(settings), context),
            explain: |settings, context| S::explain(&own::<S>(settings), context),
        }
    }
}

/// The source's settings in its own type. The configuration keeps them by the source's name, so they are of no other;
/// defaults stand in for those of another type.
fn own<S: Source>(settings: &dyn AnySettings) -> S::Settings {
    let settings: &dyn Any = settings;
    settings.downcast_ref().cloned().unwrap_or_default()
}
