//! Units of sysfs, what hardware reports instead of a value, and what cannot be.
//!
//! Units: Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-class-{power,thermal} (Linux 6.18).

use crate::reason::Reason;

/// Most power in watts of a processor's package, or a part of it.
pub(crate) const PACKAGE_WATTS: f64 = 2e3;
/// Most power in watts of a machine.
pub(crate) const MACHINE_WATTS: f64 = 100e3;
/// Most power in watts at which a counter of energy may grow: the pipeline divides no more (agent/pipeline/src/energy), so that
/// what is measured is the sum of its parts.
pub(crate) const ENERGY_WATTS: f64 = 20e3;

/// What a sensor measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Millidegrees.
    Temperature,
    /// Millivolts.
    Voltage,
    /// Milliamperes.
    Current,
    /// Microwatts.
    Power,
    /// Microwatts of a processor.
    PackagePower,
    /// Microwatts that a battery draws; less than nothing where it gives them, as its current is.
    BatteryPower,
    /// Revolutions per minute.
    Fan,
}

impl Quantity {
    /// The value in the base unit.
    pub(crate) fn value(self, raw: i128) -> Result<f64, Reason> {
        if self.is_sentinel(raw) {
            return Err(Reason::Sentinel);
        }
        let value = raw as f64 / self.divisor();
        let (least, most) = self.bounds();
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(Reason::BeyondPhysics)
        }
    }

    const fn divisor(self) -> f64 {
        match self {
            Self::Temperature | Self::Voltage | Self::Current => 1e3,
            Self::Power | Self::PackagePower | Self::BatteryPower => 1e6,
            Self::Fan => 1.0,
        }
    }

    /// Registers of all ones as drivers scale them, and the ends of the range of an 8-bit diode that is not connected.
    pub(crate) fn is_sentinel(self, raw: i128) -> bool {
        const ONES: [i128; 4] = [0xffff, u32::MAX as i128, i32::MAX as i128, i64::MAX as i128];
        let is_ones = |unit: i128| ONES.iter().any(|ones| raw == ones * unit);
        match self {
            // -128, 127 and the fractions between 127 and 128, absolute zero (0 K).
            Self::Temperature => {
                raw <= -127_000 || (127_000..=128_000).contains(&raw) || raw == 255_000 || is_ones(1) || is_ones(1000)
            }
            Self::Voltage | Self::Current => is_ones(1) || is_ones(1000),
            Self::Power | Self::PackagePower => is_ones(1) || is_ones(1000) || is_ones(1_000_000),
            // And the least that the bits of a sign can hold.
            Self::BatteryPower => Self::Power.is_sentinel(raw) || Self::Power.is_sentinel(!raw),
            Self::Fan => is_ones(1),
        }
    }

    const fn bounds(self) -> (f64, f64) {
        match self {
            // Power stages work up to 150.
            Self::Temperature => (-60.0, 200.0),
            Self::Voltage => (-1e3, 1e3),
            Self::Current => (-10e3, 10e3),
            Self::Power => (0.0, MACHINE_WATTS),
            Self::PackagePower => (0.0, PACKAGE_WATTS),
            Self::BatteryPower => (-MACHINE_WATTS, MACHINE_WATTS),
            Self::Fan => (0.0, 60e3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity::{BatteryPower, Current, Fan, PackagePower, Power, Temperature, Voltage};
    use super::*;

    #[test]
    fn values_come_in_base_units() {
        for (quantity, raw, value) in [
            (Temperature, 45_500, 45.5),
            (Temperature, -5_000, -5.0),
            (Voltage, 12_096, 12.096),
            (Voltage, 0, 0.0),
            (Voltage, -11_900, -11.9),
            (Current, 1_500, 1.5),
            (Power, 95_000_000, 95.0),
            (PackagePower, 2_000_000_000, 2000.0),
            (BatteryPower, 15_000_000, 15.0),
            (BatteryPower, -15_000_000, -15.0),
            (BatteryPower, -1_000, -0.001),
            (Fan, 0, 0.0),
            (Fan, 14_300, 14_300.0),
        ] {
            assert_eq!(quantity.value(raw), Ok(value), "{quantity:?} {raw}");
        }
    }

    #[test]
    fn what_is_no_measurement_is_no_value() {
        for (quantity, raw, why) in [
            (Power, 4_294_967_295_000, Reason::Sentinel),
            (Power, i128::from(u32::MAX), Reason::Sentinel),
            (Power, 250_000_000_000, Reason::BeyondPhysics),
            (Power, -1, Reason::BeyondPhysics),
            (PackagePower, 2_000_000_001, Reason::BeyondPhysics),
            (PackagePower, 4_294_967_295_000, Reason::Sentinel),
            (BatteryPower, 4_294_967_295_000, Reason::Sentinel),
            (BatteryPower, i128::from(i32::MIN), Reason::Sentinel),
            (BatteryPower, i128::from(i64::MIN), Reason::Sentinel),
            (BatteryPower, -250_000_000_000, Reason::BeyondPhysics),
            (BatteryPower, i128::MIN, Reason::BeyondPhysics),
            (Temperature, -128_000, Reason::Sentinel),
            (Temperature, 127_875, Reason::Sentinel),
            (Temperature, -273_150, Reason::Sentinel),
            (Temperature, 65_261_850, Reason::BeyondPhysics),
            (Temperature, -61_000, Reason::BeyondPhysics),
            (Fan, 65_535, Reason::Sentinel),
            (Fan, 80_000, Reason::BeyondPhysics),
            (Fan, -7, Reason::BeyondPhysics),
            (Voltage, 65_535, Reason::Sentinel),
            (Voltage, 5_000_000, Reason::BeyondPhysics),
            (Current, i128::from(u32::MAX) * 1000, Reason::Sentinel),
        ] {
            assert_eq!(quantity.value(raw), Err(why), "{quantity:?} {raw}");
        }
    }
}
