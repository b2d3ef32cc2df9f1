//! Instruments of those that hold an accelerator. `container.*` by the semantic conventions 1.44; what they do not have, and
//! what is of a unit or job and no container, is `accel.holder.*`.

use crate::key::{ACCEL_DEVICE_NAME, ACCEL_HOLDER_REASON, ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL, HW_ID};
use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge, UpDownCounter};
use accelscope_core::metric::Merge::{Max, Min, Sum};
use accelscope_core::metric::catalogue::{instrument, owned};

instruments! {
    DEVICE = owned(instrument(
        "accel.holder.device", "", Gauge, &[HW_ID, ACCEL_DEVICE_NAME],
        "Always 1 while processes of the container or unit hold the device. It joins what else is known of the container to the \
         device's series.",
    ), Max);
    PROCESSES = owned(instrument(
        "accel.holder.processes", "{process}", UpDownCounter, &[],
        "Processes of the container or unit that hold an accelerator.",
    ), Sum);
    WAITING = owned(instrument(
        "accel.holder.waiting", "1", Gauge, &[ACCEL_HOLDER_REASON],
        "Share of the time since the reading before in which the container or unit waited, by reason. cpu_quota: throttled by \
         its own or its pod's CPU quota, or waited for a CPU in periods in which it was; at most the share of such periods. cpu: its holding threads were ready \
         to run and waited for a CPU, at most that part of the time in which they were ready. memory, io: at least one task \
         stalled (pressure). Under a quota cpu contains what is throttled.",
    ), Max);
    CONTAINER_CPU_TIME = owned(instrument(
        "container.cpu.time", "s", Counter, &[], "CPU time that the container has used, of containers that hold an accelerator.",
    ), Sum);
    CPU_TIME = owned(instrument(
        "accel.holder.cpu.time", "s", Counter, &[], "CPU time that the unit or job has used, as container.cpu.time has it of a container.",
    ), Sum);
    CPU_LIMIT = owned(instrument(
        "accel.holder.cpu.limit", "{cpu}", Gauge, &[],
        "CPUs that the quota allows: the smaller one of its own and that of the group around it (the pod). Absent without a quota.",
    ), Min);
    QUOTA_PERIODS = owned(instrument(
        "accel.holder.cpu.periods", "{period}", Counter, &[],
        "Periods of the CPU quota in which the group ran.",
    ), Sum);
    THROTTLED_PERIODS = owned(instrument(
        "accel.holder.cpu.throttled.periods", "{period}", Counter, &[],
        "Periods of the CPU quota in which the group used it up and had to wait for the next one.",
    ), Sum);
    THROTTLED_TIME = owned(instrument(
        "accel.holder.cpu.throttled.time", "s", Counter, &[],
        "Time in which the group was throttled by a CPU quota, summed over CPUs, so that it can grow by more than a second a \
         second. Where the pod's group throttles too, the larger growth of both between two readings.",
    ), Sum);
    CPU_WAIT_TIME = owned(instrument(
        "accel.holder.cpu.wait.time", "s", Counter, &[],
        "Time that threads of the holding processes were ready to run and waited for a CPU, summed over threads, since the agent \
         has seen them hold. What is throttled is part of it.",
    ), Sum);
    PRESSURE = owned(instrument(
        "accel.holder.pressure.time", "s", Counter, &[ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL],
        "Time in which tasks of the group were stalled for want of the resource (pressure stall information of cgroup v2).",
    ), Sum);
    CONTAINER_MEMORY_USAGE = owned(instrument(
        "container.memory.usage", "By", UpDownCounter, &[],
        "Memory that the container uses, its page cache included, of containers that hold an accelerator.",
    ), Sum);
    MEMORY_USAGE = owned(instrument(
        "accel.holder.memory.usage", "By", UpDownCounter, &[],
        "Memory that the unit or job uses, as container.memory.usage has it of a container.",
    ), Sum);
    MEMORY_LIMIT = owned(instrument(
        "accel.holder.memory.limit", "By", UpDownCounter, &[],
        "Memory that the group may use: the smaller one of its own limit and that of the group around it (the pod). Absent \
         without a limit.",
    ), Min);
    OOM_KILLS = owned(instrument(
        "accel.holder.oom_kills", "{kill}", Counter, &[],
        "Processes of the group that the kernel has killed for want of memory.",
    ), Sum);
}
