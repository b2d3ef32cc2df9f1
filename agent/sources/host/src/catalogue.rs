//! Instruments of the host, by the semantic conventions 1.44 for `system.*`.
//!
//! They have none for load and pressure. Load averages have the names of the OpenTelemetry Collector's host metrics receiver.
//! Pressure is `system.linux.pressure.*`, in the style of what was proposed for the conventions, with the resource as an
//! attribute.

use crate::key::{
    ACCEL_HOST_KERNEL_VERSION, CPU_MODE, DISK_IO_DIRECTION, HOST_CPU_MODEL_NAME, HOST_NAME, NETWORK_INTERFACE_NAME,
    NETWORK_IO_DIRECTION, OS_NAME, OS_VERSION, SYSTEM_DEVICE, SYSTEM_FILESYSTEM_MODE, SYSTEM_FILESYSTEM_MOUNTPOINT,
    SYSTEM_FILESYSTEM_STATE, SYSTEM_FILESYSTEM_TYPE, SYSTEM_LINUX_PRESSURE_RESOURCE, SYSTEM_LINUX_PRESSURE_STALL_TYPE,
    SYSTEM_MEMORY_STATE, SYSTEM_PAGING_STATE,
};
use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge, UpDownCounter};
use accelscope_core::metric::catalogue::instrument;

const PRESSURE: &[&str] = &[SYSTEM_LINUX_PRESSURE_RESOURCE, SYSTEM_LINUX_PRESSURE_STALL_TYPE];
const DISK: &[&str] = &[SYSTEM_DEVICE, DISK_IO_DIRECTION];
const FILESYSTEM: &[&str] = &[
    SYSTEM_DEVICE,
    SYSTEM_FILESYSTEM_MODE,
    SYSTEM_FILESYSTEM_MOUNTPOINT,
    SYSTEM_FILESYSTEM_TYPE,
];
const FILESYSTEM_STATE: &[&str] = &[
    SYSTEM_DEVICE,
    SYSTEM_FILESYSTEM_MODE,
    SYSTEM_FILESYSTEM_MOUNTPOINT,
    SYSTEM_FILESYSTEM_STATE,
    SYSTEM_FILESYSTEM_TYPE,
];
const NETWORK: &[&str] = &[NETWORK_INTERFACE_NAME, NETWORK_IO_DIRECTION];

instruments! {
    HOST_INFO = instrument(
        "accel.host.info", "", Gauge,
        &[HOST_NAME, OS_NAME, OS_VERSION, ACCEL_HOST_KERNEL_VERSION, HOST_CPU_MODEL_NAME],
        "Always 1; its attributes describe the host.",
    );
    UPTIME = instrument("system.uptime", "s", Gauge, &[], "Time since the host's start, time in suspend included.");
    CPU_TIME = instrument(
        "system.cpu.time", "s", Counter, &[CPU_MODE],
        "Time that all CPUs together spent in each mode. The kernel's times of idle and iowait may go backwards; the value \
         waits for them.",
    );
    CPU_UTILIZATION = instrument(
        "system.cpu.utilization", "1", Gauge, &[CPU_MODE],
        "Share of the time of all CPUs that was spent in each mode since the last reading (`--once`: in half a second); all \
         modes together are 1.",
    );
    CPU_LOGICAL_COUNT = instrument("system.cpu.logical.count", "{cpu}", UpDownCounter, &[], "CPUs that are online.");
    CPU_PHYSICAL_COUNT = instrument(
        "system.cpu.physical.count", "{cpu}", UpDownCounter, &[], "Cores of the CPUs that are online.",
    );
    LOAD_1M = instrument(
        "system.cpu.load_average.1m", "{thread}", Gauge, &[],
        "Threads that run, want to run or wait uninterruptibly, averaged over a minute.",
    );
    LOAD_5M = instrument(
        "system.cpu.load_average.5m", "{thread}", Gauge, &[],
        "Threads that run, want to run or wait uninterruptibly, averaged over five minutes.",
    );
    LOAD_15M = instrument(
        "system.cpu.load_average.15m", "{thread}", Gauge, &[],
        "Threads that run, want to run or wait uninterruptibly, averaged over fifteen minutes.",
    );
    MEMORY_USAGE = instrument(
        "system.memory.usage", "By", UpDownCounter, &[SYSTEM_MEMORY_STATE],
        "Memory by state. used is the limit without what is available to new programs, so parts of buffers and cached are in \
         it too: the states do not add up to the limit.",
    );
    MEMORY_LIMIT = instrument("system.memory.limit", "By", UpDownCounter, &[], "Memory that the kernel manages.");
    MEMORY_UTILIZATION = instrument(
        "system.memory.utilization", "1", Gauge, &[SYSTEM_MEMORY_STATE], "Memory by state, as a share of the limit.",
    );
    MEMORY_AVAILABLE = instrument(
        "system.memory.linux.available", "By", UpDownCounter, &[],
        "Memory that new programs can have without swapping, by the kernel's estimate.",
    );
    PAGING_USAGE = instrument(
        "system.paging.usage", "By", UpDownCounter, &[SYSTEM_PAGING_STATE],
        "Swap space by state; absent where there is none.",
    );
    PAGING_UTILIZATION = instrument(
        "system.paging.utilization", "1", Gauge, &[SYSTEM_PAGING_STATE], "Swap space by state, as a share of all.",
    );
    PRESSURE_TIME = instrument(
        "system.linux.pressure.time", "s", Counter, PRESSURE,
        "Time in which tasks waited for the resource (PSI). Absent where the kernel does not measure it.",
    );
    PRESSURE_RATIO = instrument(
        "system.linux.pressure.ratio", "1", Gauge, PRESSURE,
        "Share of the last ten seconds in which tasks waited for the resource (avg10 of PSI).",
    );
    DISK_IO = instrument("system.disk.io", "By", Counter, DISK, "Bytes that the block device transferred.");
    DISK_OPERATIONS = instrument(
        "system.disk.operations", "{operation}", Counter, DISK, "Operations that the block device completed.",
    );
    DISK_IO_TIME = instrument(
        "system.disk.io_time", "s", Counter, &[SYSTEM_DEVICE],
        "Time in which the block device had operations outstanding.",
    );
    DISK_OPERATION_TIME = instrument(
        "system.disk.operation_time", "s", Counter, DISK,
        "Time that each operation took, added up; those that ran in parallel count each.",
    );
    DISK_MERGED = instrument(
        "system.disk.merged", "{operation}", Counter, DISK, "Operations that were merged into others before.",
    );
    FILESYSTEM_USAGE = instrument(
        "system.filesystem.usage", "By", UpDownCounter, FILESYSTEM_STATE,
        "Space of the file system by state; all states together are the limit.",
    );
    FILESYSTEM_LIMIT = instrument(
        "system.filesystem.limit", "By", UpDownCounter, FILESYSTEM, "Space of the file system.",
    );
    FILESYSTEM_UTILIZATION = instrument(
        "system.filesystem.utilization", "1", Gauge, FILESYSTEM_STATE,
        "Used space of the file system, as a share of the limit.",
    );
    NETWORK_IO = instrument("system.network.io", "By", Counter, NETWORK, "Bytes that the interface transferred.");
    NETWORK_PACKETS = instrument(
        "system.network.packet.count", "{packet}", Counter, &[NETWORK_IO_DIRECTION, SYSTEM_DEVICE],
        "Packets that the interface transferred.",
    );
    NETWORK_DROPPED = instrument(
        "system.network.packet.dropped", "{packet}", Counter, NETWORK, "Packets that were dropped without an error.",
    );
    NETWORK_ERRORS = instrument("system.network.errors", "{error}", Counter, NETWORK, "Errors of the interface.");
}
