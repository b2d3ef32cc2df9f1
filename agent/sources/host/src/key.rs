//! Attribute keys of the host: OpenTelemetry semantic conventions 1.44, and `accel.*` and `system.linux.pressure.*` where these
//! have none.

pub(crate) use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// Name of the host.
    HOST_NAME = "host.name";
    /// Name of the operating system (`NAME` of os-release), e.g. `Debian GNU/Linux`.
    OS_NAME = "os.name";
    /// Version of the operating system (`VERSION_ID` of os-release), e.g. `12`.
    OS_VERSION = "os.version";
    /// Release of the kernel, e.g. `6.1.0-18-amd64`.
    ACCEL_HOST_KERNEL_VERSION = "accel.host.kernel_version";
    /// Model of the CPU as the kernel names it; of a board whose CPU has no name, the board's.
    HOST_CPU_MODEL_NAME = "host.cpu.model.name";
    /// What the CPUs did: `user` (guests included), `nice`, `system`, `idle`, `iowait`, `interrupt` or `steal`.
    CPU_MODE = "cpu.mode";
    /// State of the memory: `used`, `free`, `buffers` or `cached`.
    SYSTEM_MEMORY_STATE = "system.memory.state";
    /// State of the swap space: `used` or `free`.
    SYSTEM_PAGING_STATE = "system.paging.state";
    /// What tasks waited for: `cpu`, `memory` or `io`.
    SYSTEM_LINUX_PRESSURE_RESOURCE = "system.linux.pressure.resource";
    /// How many tasks waited: `some` (at least one), `full` (all that were not idle).
    SYSTEM_LINUX_PRESSURE_STALL_TYPE = "system.linux.pressure.stall_type";
    /// Name of the block device, the source of the mount, or the network interface.
    SYSTEM_DEVICE = "system.device";
    /// Direction of the transfer as the host sees it: `read` or `write`.
    DISK_IO_DIRECTION = "disk.io.direction";
    /// State of the space: `used`, `free` (to everybody) or `reserved` (for root).
    SYSTEM_FILESYSTEM_STATE = "system.filesystem.state";
    /// Type of the file system, e.g. `ext4`.
    SYSTEM_FILESYSTEM_TYPE = "system.filesystem.type";
    /// Whether it is mounted for writing: `rw` or `ro`.
    SYSTEM_FILESYSTEM_MODE = "system.filesystem.mode";
    /// Where it is mounted, as a path of the host.
    SYSTEM_FILESYSTEM_MOUNTPOINT = "system.filesystem.mountpoint";
    /// Name of the network interface.
    NETWORK_INTERFACE_NAME = "network.interface.name";
}
