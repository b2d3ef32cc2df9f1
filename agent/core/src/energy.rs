//! How energy is divided among those who use it.

use crate::words;

/// Where a part of a source measures `hw.energy`: the value of `accel.energy.source`.
pub type EnergySource = fn(part: &str) -> &str;

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
