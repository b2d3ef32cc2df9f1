//! `accel.*`: what has no semantic convention and is the same for every vendor.

use super::{WORKLOAD_KEYS, instrument, instruments, owned, with_workload};
use crate::metric::Kind::{Counter, Gauge, UpDownCounter};
use crate::metric::Merge::{Min, Sum};
use crate::metric::key::{
    ACCEL_CLAIM_NAME, ACCEL_CLAIM_NAMESPACE, ACCEL_DEVICE_ID, ACCEL_DRIVER_NAME, ACCEL_ENERGY_METHOD,
    ACCEL_ENERGY_SOURCE, ACCEL_ENERGY_UNATTRIBUTED, ACCEL_POOL_NAME, ACCEL_RESOURCE_NAME, ERROR_TYPE, HW_GPU_TASK,
    HW_ID, HW_NAME, HW_TYPE, K8S_CONTAINER_NAME, K8S_NAMESPACE_NAME, K8S_POD_NAME, K8S_POD_UID,
};

/// Keys of an allocation: its owner, what was requested, what was given.
const ALLOCATION: &[&str] = &[
    HW_ID,
    HW_NAME,
    ACCEL_DEVICE_ID,
    ACCEL_RESOURCE_NAME,
    ACCEL_CLAIM_NAME,
    ACCEL_CLAIM_NAMESPACE,
    ACCEL_DRIVER_NAME,
    ACCEL_POOL_NAME,
    K8S_NAMESPACE_NAME,
    K8S_POD_NAME,
    K8S_POD_UID,
    K8S_CONTAINER_NAME,
];

/// Keys of energy by who used it.
const ENERGY: &[&str] = &with_workload::<{ 4 + WORKLOAD_KEYS.len() }>(&[
    HW_TYPE,
    ACCEL_ENERGY_SOURCE,
    ACCEL_ENERGY_METHOD,
    ACCEL_ENERGY_UNATTRIBUTED,
]);

instruments! {
    ENERGY_ATTRIBUTED = instrument(
        "accel.energy.attributed", "J", Counter, ENERGY,
        "Energy of hw.energy by who used it, since the agent watches: of CPU and memory by CPU time, of an accelerator by the \
         share of it that its driver reports of each process. What is nobody's has accel.energy.unattributed. The sum over all \
         is what hw.energy grew by, of devices that are part of another of their kind only that one.",
    );
    DEVICE_ALLOCATION = instrument(
        "accel.device.allocation", "", Gauge, ALLOCATION,
        "Always 1 while the kubelet has the device allocated to the container, used or not. hw.id, hw.name \
         or the attributes of its vendor identify the device where the allocated id does. Parts of one device, such as units \
         of its memory, are one series.",
    );
    FAULT_LAST_SEEN = instrument(
        "accel.fault.last_seen", "s", Gauge, &[HW_ID, HW_TYPE, ERROR_TYPE],
        "When the kernel's log had the device's last fault of this kind, and of this code where it has one, in seconds since \
         1970-01-01 UTC. Also of faults before the agent's start that the log still has; absent where there was none.",
    );
    PROCESS_MEMORY_USAGE = owned(instrument(
        "accel.process.memory.usage", "By", UpDownCounter,
        &[HW_ID],
        "Memory of the accelerator that the process uses, as the driver tells it.",
    ), Sum);
    PROCESS_UTILIZATION = owned(instrument(
        "accel.process.utilization", "1", Gauge, &[HW_ID, HW_GPU_TASK],
        "Share of time in which the process kept the accelerator's unit busy since the reading before; for memory, in \
         which it was read or written. Absent where the driver cannot tell it (GPUs in MIG mode).",
    ), Sum);
    PROCESS_START_TIME = owned(instrument(
        "accel.process.start_time", "s", Gauge, &[HW_ID],
        "When the process that uses the accelerator started, in seconds since 1970-01-01 UTC.",
    ), Min);
}
