//! Instruments of batteries (semantic conventions 1.44), and what this source adds to the shared ones.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::Gauge;
use accelscope_core::metric::catalogue::{hw, instrument};
use accelscope_core::source::Extension;

use crate::key::{
    ACCEL_DERIVED, HW_BATTERY_CAPACITY, HW_BATTERY_CHEMISTRY, HW_ID, HW_MODEL, HW_NAME, HW_PARENT, HW_SENSOR_LOCATION,
    HW_STATE, HW_VENDOR,
};

instruments! {
    BATTERY_CHARGE = instrument(
        "hw.battery.charge", "1", Gauge,
        &[HW_ID, HW_NAME, HW_MODEL, HW_VENDOR, HW_BATTERY_CAPACITY, HW_BATTERY_CHEMISTRY],
        "Share of what the battery can hold that it holds.",
    );
    BATTERY_TIME_LEFT = instrument(
        "hw.battery.time_left", "s", Gauge, &[HW_ID, HW_NAME, HW_STATE],
        "Time until the battery is empty (hw.state = discharging) or full (charging), as its gauge expects.",
    );
}

/// Keys of this source on the shared instruments.
pub(crate) const EXTENSIONS: &[Extension] = &[
    Extension {
        instruments: &[&hw::ENERGY, &hw::POWER],
        attributes: &[HW_NAME, HW_PARENT],
    },
    Extension {
        instruments: &[&hw::POWER],
        attributes: &[ACCEL_DERIVED],
    },
    Extension {
        instruments: &[
            &hw::TEMPERATURE,
            &hw::TEMPERATURE_LIMIT,
            &hw::FAN_SPEED,
            &hw::VOLTAGE,
            &hw::CURRENT,
            &hw::STATUS,
        ],
        attributes: &[HW_NAME],
    },
    Extension {
        instruments: &[&hw::VOLTAGE, &hw::CURRENT],
        attributes: &[HW_SENSOR_LOCATION],
    },
];
