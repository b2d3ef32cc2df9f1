//! What is counted of the arguments of calls to Hailo's drivers.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge};
use accelscope_core::metric::Merge::{Max, Sum};
use accelscope_core::metric::catalogue::{instrument, owned};
use accelscope_core::metric::key::{ACCEL_DEVICE_FAMILY, ACCEL_DEVICE_NAME, ACCEL_IO_DIRECTION, HW_ID};

const DEVICE: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID];
const DIRECTION: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID, ACCEL_IO_DIRECTION];

instruments! {
    TRANSFERS = owned(instrument(
        "hailo.ioctl.transfers", "{transfer}", Counter, DIRECTION,
        "Buffers that were handed to the device's channels.",
    ), Sum);
    IO = owned(instrument(
        "hailo.ioctl.io", "By", Counter, DIRECTION,
        "Bytes of the buffers that were handed to the device's channels.",
    ), Sum);
    FRAMES = owned(instrument(
        "hailo.ioctl.frames", "{frame}", Counter, DEVICE,
        "Frames that were submitted: launches on the busiest input channel.",
    ), Sum);
    SWITCHES = owned(instrument(
        "hailo.ioctl.model.switches", "{switch}", Counter, DEVICE,
        "Changes of the device's context-switch status: activations, switches and deactivations of models.",
    ), Sum);
    OWNER = owned(instrument(
        "hailo.device.owner", "", Gauge, DEVICE,
        "Always 1; its attributes name the process that has marked the device as in use.",
    ), Max);
}
