//! Activity at the device nodes of accelerators of all vendors.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::UpDownCounter;
use accelscope_core::metric::Merge::Sum;
use accelscope_core::metric::catalogue::{instrument, owned};
use accelscope_core::metric::key::{ACCEL_DEVICE_FAMILY, ACCEL_DEVICE_NAME, HW_ID};

/// Keys of a device node.
const DEVICE: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID];

instruments! {
    DEVICE_PROCESSES = owned(instrument(
        "accel.device.processes", "{process}", UpDownCounter, DEVICE,
        "Processes that hold the device open; 0 without an owner while nobody does.",
    ), Sum);
}
