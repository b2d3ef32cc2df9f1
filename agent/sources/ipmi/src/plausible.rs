//! Values that can be. What lies beyond is a sentinel or a fault of the BMC's, and gives no point.

use std::ops::RangeInclusive;

/// Degrees Celsius; margins to a limit are negative.
pub(crate) const TEMPERATURE: RangeInclusive<f64> = -150.0..=300.0;
/// Revolutions per minute: the fastest fans of servers turn 40,000 times, and 65,535 is "none".
pub(crate) const FAN_SPEED: RangeInclusive<f64> = 0.0..=60_000.0;
/// Volts, those of a rack's bus bar and of the mains too.
pub(crate) const VOLTAGE: RangeInclusive<f64> = -1_000.0..=1_000.0;
/// Amperes.
pub(crate) const CURRENT: RangeInclusive<f64> = -3_000.0..=3_000.0;
/// Watts of a processor or of memory.
pub(crate) const PART_POWER: RangeInclusive<f64> = 0.0..=2_000.0;
/// Watts of a server, and of its power supplies.
pub(crate) const SERVER_POWER: RangeInclusive<f64> = 0.0..=100_000.0;
/// Share of a fan's highest speed.
pub(crate) const SHARE: RangeInclusive<f64> = 0.0..=1.0;
