//! What the eBPF side needs to know about a driver beyond the functions that it is hooked at.

use std::io;

use aya::maps::MapData;

use crate::Device;

/// A driver's peculiarities.
#[derive(Debug)]
pub(in super::super) struct Specifics {
    /// [`agent_ebpf::Watched::arguments`] for a device, if the programs read the arguments of its calls; otherwise
    /// `None`.
    pub(in super::super) arguments: fn(&Device) -> Option<u32>,
    /// The map that describes these arguments, where the programs do not know them.
    pub(in super::super) layouts: Option<Layouts>,
    /// Functions that calls pass on their way to, or from, functions of other drivers or modules, with those others.
    pub(in super::super) shared_functions: &'static [(&'static str, &'static [&'static str])],
}

/// A map with the layouts of a driver's arguments.
#[derive(Debug)]
pub(in super::super) struct Layouts {
    /// The map's name in the programs.
    pub(in super::super) map: &'static str,
    /// Most entries.
    pub(in super::super) entries: u32,
    /// Opens it.
    pub(in super::super) open: fn(MapData) -> io::Result<Box<dyn LayoutTable>>,
}

/// An open map with layouts.
pub(in super::super) trait LayoutTable: Send {
    /// Adds the layouts for this number ([`Specifics::arguments`]); none for numbers of other drivers.
    fn add(&mut self, arguments: u32) -> io::Result<()>;
}
