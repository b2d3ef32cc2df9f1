//! Readings of NVML of the parts of a GPU: its processes, its MIG instances, its units, its faults (nvml.h 13.5).

use crate::key::{
    ERROR_TYPE, HW_ID, NVIDIA_COMPUTE_INSTANCE, NVIDIA_FEATURE, NVIDIA_GPM_UNIT, NVIDIA_GPU_INSTANCE,
    NVIDIA_MIG_PROFILE, NVIDIA_MIG_UUID, NVIDIA_PROCESS_TYPE, NVIDIA_TOPIC, NVIDIA_XID,
};
use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge, Histogram, UpDownCounter};
use accelscope_core::metric::Merge::Max;
use accelscope_core::metric::catalogue::{instrument, owned};

/// Upper bounds of the buckets of shares.
pub const SHARES: &[f64] = &[0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0];

const GPU: &[&str] = &[HW_ID];
const MEMORY: &[&str] = &[HW_ID, NVIDIA_GPU_INSTANCE, NVIDIA_MIG_PROFILE];

instruments! {
    PROCESS_INFO = owned(instrument(
        "nvidia.process.info", "", Gauge,
        &[HW_ID, NVIDIA_PROCESS_TYPE, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
        "Always 1; its attributes say how the process uses the GPU.",
    ), Max);
    PROCESSES = instrument(
        "nvidia.processes", "{process}", UpDownCounter, GPU, "Processes that use the GPU, as the driver lists them.",
    );
    PROCESSES_HIDDEN = instrument(
        "nvidia.processes.hidden", "{process}", UpDownCounter, GPU,
        "Processes of which the driver tells and that the node does not show: they are in a PID namespace that the agent \
         cannot see (it needs hostPID), or ended and left their memory behind.",
    );
    HOST_PID = instrument(
        "nvidia.host_pid", "", Gauge, &[],
        "1 if the agent runs in the node's PID namespace, else 0: then NVML hides processes from it, and hostPID is \
         missing.",
    );
    FEATURE_SUPPORTED = instrument(
        "nvidia.feature.supported", "", Gauge, &[HW_ID, NVIDIA_FEATURE],
        "1 if GPU and driver can tell this in the GPU's present mode, else 0: then its metrics are absent.",
    );
    READING_SUSPENDED = instrument(
        "nvidia.reading.suspended", "", Gauge, &[HW_ID, NVIDIA_TOPIC, ERROR_TYPE],
        "1 while this group of readings of the GPU (`all`: every one) is left alone because the driver hung or crashed in \
         it: its metrics are absent. It is tried again after a minute, then after twice as long each time, up to an hour.",
    );
    DEVICE_FAULT = instrument(
        "nvidia.device.fault", "", Gauge, &[HW_ID, ERROR_TYPE],
        "1 while the GPU has this fault: gpu_is_lost, gpu_not_found, inaccessible, insufficient_power, irq_issue, \
         corrupted_inforom, reset_required or reboot_required (it does not work), no_permission (the agent may not use it, \
         and its state is unknown), remapping_failed, remapping_pending or retirement_pending (of faulty memory), drain_required, \
         duplicate_uuid (of two GPUs, which have their address in hw.id). Absent without it.",
    );
    GPU_UTILIZATION_DISTRIBUTION = instrument(
        "hw.gpu.utilization.distribution", "1", Histogram(SHARES), GPU,
        "Share of time in which the GPU was busy, in each of the driver's own samples (about six a second).",
    );
    GPU_UTILIZATION_MAX = instrument(
        "hw.gpu.utilization.max", "1", Gauge, GPU,
        "Largest share of time in which the GPU was busy, of the driver's own samples since the reading before.",
    );
    GPM_UTILIZATION = instrument(
        "nvidia.gpm.utilization", "1", Gauge, &[HW_ID, NVIDIA_GPM_UNIT, NVIDIA_GPU_INSTANCE],
        "How busy the unit of the GPU, or of the MIG GPU instance, was since the reading before (Hopper and newer). On \
         older GPUs nothing tells how busy a MIG instance is.",
    );
    MIG_ENABLED = instrument(
        "nvidia.mig.enabled", "", Gauge, GPU, "1 while the GPU is partitioned (MIG), else 0.",
    );
    MIG_INFO = instrument(
        "nvidia.mig.info", "", Gauge,
        &[HW_ID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE, NVIDIA_MIG_UUID, NVIDIA_MIG_PROFILE],
        "Always 1; its attributes describe a MIG device, which is a compute instance in a GPU instance.",
    );
    MIG_MULTIPROCESSORS = instrument(
        "nvidia.mig.multiprocessors", "{multiprocessor}", UpDownCounter,
        &[HW_ID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE], "Multiprocessors of the MIG device.",
    );
    MIG_MEMORY_USAGE = instrument(
        "nvidia.mig.memory.usage", "By", UpDownCounter, MEMORY,
        "Memory of the MIG GPU instance that is in use by all its compute instances together.",
    );
    MIG_MEMORY_LIMIT = instrument(
        "nvidia.mig.memory.limit", "By", UpDownCounter, MEMORY, "Memory of the MIG GPU instance.",
    );
    XID_EVENTS = instrument(
        "nvidia.xid.events", "{event}", Counter, GPU,
        "XIDs of all codes that the driver reported of the GPU since the agent watches it: 0 before the first. hw.errors has \
         them by code, those on which people alert from 0 too: 13, 31, 43, 45, 48, 62, 63, 64, 74, 79, 92, 94, 95, 119, \
         120 and 140.",
    );
    XID_LAST_SEEN = instrument(
        "nvidia.xid.last_seen", "s", Gauge, &[HW_ID, NVIDIA_XID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
        "When the driver last reported this XID of the GPU, in seconds since 1970-01-01 UTC.",
    );
}
