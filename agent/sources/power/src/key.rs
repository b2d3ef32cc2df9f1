//! Attribute keys.

pub(crate) use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// What the battery was made to hold, e.g. `57.0Wh` or `4.8Ah`.
    HW_BATTERY_CAPACITY = "hw.battery.capacity";
    /// Chemistry of the battery as its driver names it, e.g. `Li-ion`.
    HW_BATTERY_CHEMISTRY = "hw.battery.chemistry";
}
