//! `accel.*`: what has no semantic convention and is the same for every vendor.

use super::{instrument, instruments, owned};
use crate::metric::Kind::{Gauge, UpDownCounter};
use crate::metric::Merge::Sum;
use crate::metric::key::{
    ACCEL_CLAIM_NAME, ACCEL_CLAIM_NAMESPACE, ACCEL_DEVICE_ID, ACCEL_DRIVER_NAME, ACCEL_POOL_NAME, ACCEL_RESOURCE_NAME,
    ASCEND_CHIP_ID, ASCEND_NPU_ID, ASCEND_PHYSICAL_ID, HW_ID, HW_NAME, K8S_CONTAINER_NAME, K8S_NAMESPACE_NAME,
    K8S_POD_NAME,
};

/// Keys of an allocation: whose, what was asked for, what was given.
const ALLOCATION: &[&str] = &[
    HW_ID,
    HW_NAME,
    ASCEND_PHYSICAL_ID,
    ACCEL_DEVICE_ID,
    ACCEL_RESOURCE_NAME,
    ACCEL_CLAIM_NAME,
    ACCEL_CLAIM_NAMESPACE,
    ACCEL_DRIVER_NAME,
    ACCEL_POOL_NAME,
    K8S_NAMESPACE_NAME,
    K8S_POD_NAME,
    K8S_CONTAINER_NAME,
];

instruments! {
    DEVICE_ALLOCATION = instrument(
        "accel.device.allocation", "", Gauge, ALLOCATION,
        "Always 1 while the kubelet has the device allocated to the container, used or not. hw.id, hw.name or \
         ascend.physical.id stand where the allocated id tells which device it is.",
    );
    PROCESS_MEMORY_USAGE = owned(instrument(
        "accel.process.memory.usage", "By", UpDownCounter, &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID],
        "Memory of the accelerator that the process uses, as the driver tells it.",
    ), Sum);
}
