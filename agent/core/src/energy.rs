//! How energy is divided among those who use it.

use crate::metric::Instrument;
use crate::words;

/// What a source tells of the energy that it measures.
#[derive(Debug, Clone, Copy)]
pub struct EnergySource {
    /// Where one of its parts measures `hw.energy`: the value of `accel.energy.source`.
    pub name: fn(part: &str) -> &str,
    /// How busy the instances of a partitioned device are, where it reports that.
    pub instances: Option<Instances>,
}

/// Series of the instances of a partitioned device, of which the driver reports how busy each is, but not its processes.
#[derive(Debug, Clone, Copy)]
pub struct Instances {
    /// Key of an instance's number on its device, which the points of its processes carry too.
    pub number: &'static str,
    /// How busy a unit of an instance is.
    pub utilization: &'static Instrument,
    /// Key and name of the unit that runs programs of any kind.
    pub unit: (&'static str, &'static str),
    /// Size of an instance.
    pub size: &'static Instrument,
    /// Size of the whole device, in the same unit.
    pub whole: &'static Instrument,
}

/// Whose the energy of hardware is that does nothing (`power.idle`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idle {
    /// Nobody's.
    #[default]
    Unattributed,
    /// That of those who use it, in proportion to their use.
    Proportional,
}

words!(Idle, "\"unattributed\" or \"proportional\"", "unattributed" => Idle::Unattributed, "proportional" => Idle::Proportional);
