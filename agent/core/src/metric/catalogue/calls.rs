//! What the kernel counts of the calls to accelerators' device nodes.

use super::{instrument, instruments, owned};
use crate::metric::Kind::{Counter, Gauge, Histogram};
use crate::metric::Merge::{Max, Sum};
use crate::metric::key::{
    ACCEL_DEVICE_FAMILY, ACCEL_DEVICE_NAME, ACCEL_IO_DIRECTION, ACCEL_IOCTL_COMMAND, ERROR_TYPE, HW_ID,
};

const DEVICE: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID];
const COMMAND: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID, ACCEL_IOCTL_COMMAND];
const RESULT: &[&str] = &[
    ACCEL_DEVICE_NAME,
    ACCEL_DEVICE_FAMILY,
    HW_ID,
    ACCEL_IOCTL_COMMAND,
    ERROR_TYPE,
];
const DIRECTION: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID, ACCEL_IO_DIRECTION];

/// From 1 µs by factors of 4 to 4^11 µs (4.2 s), as the programs count them.
const CALL_SECONDS: &[f64] = &[
    1e-6,
    4e-6,
    16e-6,
    64e-6,
    256e-6,
    1_024e-6,
    4_096e-6,
    16_384e-6,
    65_536e-6,
    262_144e-6,
    1_048_576e-6,
    4_194_304e-6,
];

instruments! {
    CALLS = owned(instrument(
        "accel.ioctl.calls", "{call}", Counter, RESULT,
        "Calls of ioctl(2) on the device that have returned, by command and, where they failed, by the error's name.",
    ), Sum);
    DURATION = owned(instrument(
        "accel.ioctl.duration", "s", Histogram(CALL_SECONDS), COMMAND,
        "Time that calls of ioctl(2) on the device took, failed ones included. Commands that wait by design are left out; \
         Hailo's launch of a transfer and wait for interrupts have series of their own, with their command.",
    ), Sum);
    INFLIGHT = owned(instrument(
        "accel.ioctl.inflight", "{call}", Gauge, DEVICE,
        "Calls of ioctl(2) on the device that have not returned, without commands that wait by design.",
    ), Sum);
    INFLIGHT_AGE = owned(instrument(
        "accel.ioctl.inflight.age.max", "s", Gauge, DEVICE,
        "Age of the oldest call that has not returned, without commands that wait by design; 0 while there is none.",
    ), Max);
    HAILO_TRANSFERS = owned(instrument(
        "hailo.ioctl.transfers", "{transfer}", Counter, DIRECTION,
        "Buffers that were handed to the device's channels.",
    ), Sum);
    HAILO_IO = owned(instrument(
        "hailo.ioctl.io", "By", Counter, DIRECTION,
        "Bytes of the buffers that were handed to the device's channels.",
    ), Sum);
    HAILO_FRAMES = owned(instrument(
        "hailo.ioctl.frames", "{frame}", Counter, DEVICE,
        "Frames that were submitted: launches on the busiest input channel.",
    ), Sum);
    HAILO_SWITCHES = owned(instrument(
        "hailo.ioctl.model.switches", "{switch}", Counter, DEVICE,
        "Changes of the device's context-switch status: activations, switches and deactivations of models.",
    ), Sum);
    HAILO_OWNER = owned(instrument(
        "hailo.device.owner", "", Gauge, DEVICE,
        "Always 1; its attributes name the process that has marked the device as in use.",
    ), Max);
}
