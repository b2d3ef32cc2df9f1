//! `accel.*`: what has no semantic convention and is the same for every vendor.

use super::{instrument, instruments, owned};
use crate::metric::Kind::{Gauge, UpDownCounter};
use crate::metric::Merge::{Min, Sum};
use crate::metric::key::{
    ACCEL_CLAIM_NAME, ACCEL_CLAIM_NAMESPACE, ACCEL_DEVICE_ID, ACCEL_DRIVER_NAME, ACCEL_POOL_NAME, ACCEL_RESOURCE_NAME,
    ASCEND_CHIP_ID, ASCEND_NPU_ID, ASCEND_PHYSICAL_ID, HW_GPU_TASK, HW_ID, HW_NAME, K8S_CONTAINER_NAME,
    K8S_NAMESPACE_NAME, K8S_POD_NAME, NVIDIA_COMPUTE_INSTANCE, NVIDIA_GPU_INSTANCE, NVIDIA_MIG_UUID,
};

/// Keys of an allocation: whose, what was asked for, what was given.
const ALLOCATION: &[&str] = &[
    HW_ID,
    HW_NAME,
    NVIDIA_MIG_UUID,
    NVIDIA_GPU_INSTANCE,
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

/// Keys of a process on a GPU, or in an instance of it.
const GPU: &[&str] = &[HW_ID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE];

instruments! {
    DEVICE_ALLOCATION = instrument(
        "accel.device.allocation", "", Gauge, ALLOCATION,
        "Always 1 while the kubelet has the device allocated to the container, used or not. hw.id, hw.name, \
         nvidia.mig.uuid or ascend.physical.id stand where the allocated id tells which device it is.",
    );
    PROCESS_MEMORY_USAGE = owned(instrument(
        "accel.process.memory.usage", "By", UpDownCounter,
        &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
        "Memory of the accelerator that the process uses, as the driver tells it.",
    ), Sum);
    PROCESS_UTILIZATION = owned(instrument(
        "accel.process.utilization", "1", Gauge, &[HW_ID, HW_GPU_TASK, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
        "Share of time in which the process kept the accelerator's unit busy since the reading before; for memory, in \
         which it was read or written. Absent where the driver cannot tell it (GPUs in MIG mode).",
    ), Sum);
    PROCESS_START_TIME = owned(instrument(
        "accel.process.start_time", "s", Gauge, GPU,
        "When the process that uses the accelerator started, in seconds since 1970-01-01 UTC.",
    ), Min);
}
