//! Instruments of the calls to device nodes, as the kernel counts them, and of their holders.

use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge, Histogram, UpDownCounter};
use accelscope_core::metric::Merge::{Max, Sum};
use accelscope_core::metric::catalogue::{instrument, owned};
use accelscope_core::metric::key::{ACCEL_DEVICE_FAMILY, ACCEL_DEVICE_NAME, ACCEL_IOCTL_COMMAND, ERROR_TYPE, HW_ID};

/// Keys of a device node.
const DEVICE: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID];
const COMMAND: &[&str] = &[ACCEL_DEVICE_NAME, ACCEL_DEVICE_FAMILY, HW_ID, ACCEL_IOCTL_COMMAND];
const RESULT: &[&str] = &[
    ACCEL_DEVICE_NAME,
    ACCEL_DEVICE_FAMILY,
    HW_ID,
    ACCEL_IOCTL_COMMAND,
    ERROR_TYPE,
];

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
    DEVICE_PROCESSES = owned(instrument(
        "accel.device.processes", "{process}", UpDownCounter, DEVICE,
        "Processes that hold the device open; 0 without an owner while nobody does.",
    ), Sum);
    CALLS = owned(instrument(
        "accel.ioctl.calls", "{call}", Counter, RESULT,
        "Calls of ioctl(2) on the device that have returned, by command and, where they failed, by the error's name.",
    ), Sum);
    DURATION = owned(instrument(
        "accel.ioctl.duration", "s", Histogram(CALL_SECONDS), COMMAND,
        "Time that calls of ioctl(2) on the device took, failed ones included. Commands that wait by design are left out; \
         commands that a family's driver sets apart (the launch of a transfer, a wait for interrupts) have series of their \
         own, with their command.",
    ), Sum);
    INFLIGHT = owned(instrument(
        "accel.ioctl.inflight", "{call}", Gauge, DEVICE,
        "Calls of ioctl(2) on the device that have not returned, without commands that wait by design.",
    ), Sum);
    INFLIGHT_AGE = owned(instrument(
        "accel.ioctl.inflight.age.max", "s", Gauge, DEVICE,
        "Age of the oldest call that has not returned, without commands that wait by design; 0 while there is none.",
    ), Max);
}
