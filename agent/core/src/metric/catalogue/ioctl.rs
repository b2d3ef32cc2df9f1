//! What is seen at the accelerators' device nodes, whatever the vendor.

use super::{instrument, instruments, owned};
use crate::metric::Kind::UpDownCounter;
use crate::metric::Merge::Sum;
use crate::metric::key::{ACCEL_DEVICE_FAMILY, ACCEL_DEVICE_NAME, HW_ID};

/// Keys of a device node.
const DEVICE: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID];

instruments! {
    DEVICE_PROCESSES = owned(instrument(
        "accel.device.processes", "{process}", UpDownCounter, DEVICE,
        "Processes that hold the device open; 0 without an owner while nobody does.",
    ), Sum);
}
