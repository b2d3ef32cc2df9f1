//! Attribute keys: OpenTelemetry semantic conventions 1.44 where one exists, else the vendor's or `accel.*`.

/// Declares attribute keys, each with its meaning, and `ALL` of them for the documentation.
#[macro_export]
macro_rules! keys {
    ($(#[doc = $doc:literal] $name:ident = $key:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $key;)*
        /// Every known key with its meaning, for the generated documentation.
        pub const ALL: &[(&str, &str)] = &[$(($key, $doc)),*];
    };
}

keys! {
    /// Identifier of the device, stable and unique in the fleet.
    HW_ID = "hw.id";
    /// Name of the device as its driver gives it, e.g. `renderD128`.
    HW_NAME = "hw.name";
    /// `hw.id` of the device that this one is a part of and whose value contains this one's: leave series with this key out of a sum. Of one `hw.type` those without it count nothing of one chip and nothing of RAPL twice; chips may still have something in common (rails of one board, several power supplies, batteries).
    HW_PARENT = "hw.parent";
    /// Model of the device, e.g. `RX 7900 XTX`.
    HW_MODEL = "hw.model";
    /// Vendor of the device, e.g. `AMD`.
    HW_VENDOR = "hw.vendor";
    /// Version of the device's kernel driver.
    HW_DRIVER_VERSION = "hw.driver_version";
    /// Address of the device on its bus, e.g. `0001:01:00.0`, or `[integrated]`.
    ACCEL_DEVICE_ADDRESS = "accel.device.address";
    /// Name of the ioctl command, or its number (`0xc0de1234`) where it has no known name; `_OTHER` beyond a quota.
    ACCEL_IOCTL_COMMAND = "accel.ioctl.command";
    /// Direction of the transfer: `host_to_device` or `device_to_host`.
    ACCEL_IO_DIRECTION = "accel.io.direction";
    /// Name of the device's node, e.g. `renderD128` or `accel0`.
    ACCEL_DEVICE_NAME = "accel.device.name";
    /// Family of the device's driver, e.g. `drm` or `tenstorrent`.
    ACCEL_DEVICE_FAMILY = "accel.device.family";
    /// Id of the allocated device as its plugin or DRA driver has it, e.g. `GPU-<uuid>::<replica>`; of several parts, what they have in common.
    ACCEL_DEVICE_ID = "accel.device.id";
    /// Name of the extended resource that the container asked for, e.g. `nvidia.com/gpu`.
    ACCEL_RESOURCE_NAME = "accel.resource.name";
    /// Name of the resource claim (DRA).
    ACCEL_CLAIM_NAME = "accel.claim.name";
    /// Namespace of the resource claim.
    ACCEL_CLAIM_NAMESPACE = "accel.claim.namespace";
    /// Name of the DRA driver, e.g. `gpu.example.com`.
    ACCEL_DRIVER_NAME = "accel.driver.name";
    /// Name of the DRA driver's pool, usually the node.
    ACCEL_POOL_NAME = "accel.pool.name";
    /// Kind of the hardware that a reading is of: `gpu`, `npu`, `cpu`, `memory`, `fan`, `power_supply`, `battery`, `temperature`, `voltage`, `physical_disk`, `network` (an NVSwitch too), `enclosure` (the whole machine) or `board` (a rail of which the driver does not tell what it supplies).
    HW_TYPE = "hw.type";
    /// State of the hardware: `ok`, `degraded`, `failed`, for GPUs `predicted_failure`, for batteries `charging` and `discharging`.
    HW_STATE = "hw.state";
    /// Serial number of the board.
    HW_SERIAL_NUMBER = "hw.serial_number";
    /// Version of the device's firmware; of a GPU, of its video BIOS.
    HW_FIRMWARE_VERSION = "hw.firmware_version";
    /// Unit of the GPU: `general`, `encoder`, `decoder`, `jpeg` or `ofa` (optical flow); of a process also `memory`.
    HW_GPU_TASK = "hw.gpu.task";
    /// Where the sensor is: `gpu`, `memory`, the fan's number as `fan0`, or the sensor's label, e.g. `Package id 0`; of a BMC's sensor the part and its instance, e.g. `cpu1` or `inlet1`.
    HW_SENSOR_LOCATION = "hw.sensor_location";
    /// What happens at the limit: `high.critical` (off), `high.degraded` (hardware slows down), `throttled` (driver does); of a server's sensors also `low.degraded`, `low.critical` and both `.non_recoverable`.
    HW_LIMIT_TYPE = "hw.limit_type";
    /// Direction of the bytes as the device sees them: `receive` or `transmit`.
    NETWORK_IO_DIRECTION = "network.io.direction";
    /// True where the agent computed the value from other readings.
    ACCEL_DERIVED = "accel.derived";
    /// Where the energy was measured: `rapl`, `hwmon`, `nvml`, `dcmi`, `npu-smi`.
    ACCEL_ENERGY_SOURCE = "accel.energy.source";
    /// By what the energy was divided: `cpu_time`, `utilization`, `exclusive` (all of it for the only holder) or `even` (the same for each holder).
    ACCEL_ENERGY_METHOD = "accel.energy.method";
    /// True of the energy that is nobody's: of idle hardware, of the kernel, of processes in no container, unit or job.
    ACCEL_ENERGY_UNATTRIBUTED = "accel.energy.unattributed";
    /// Kind of the error: `corrected` or `uncorrected` of a memory, `xid` of a GPU, one of those of [faults.md](faults.md) of a device, the errno's name (`ENOTTY`) of a call.
    ERROR_TYPE = "error.type";
    /// Code of the XID, NVIDIA's number for a kind of fault; `_OTHER` beyond a number of codes.
    NVIDIA_XID = "nvidia.xid";
    /// Id of the MIG GPU instance in its GPU.
    NVIDIA_GPU_INSTANCE = "nvidia.mig.gpu_instance.id";
    /// Process identifier in the node's PID namespace.
    PROCESS_PID = "process.pid";
    /// Base name of the executable.
    PROCESS_EXECUTABLE_NAME = "process.executable.name";
    /// Identifier of the container.
    CONTAINER_ID = "container.id";
    /// Name of the container's image.
    CONTAINER_IMAGE_NAME = "container.image.name";
    /// Name of the container in its pod.
    K8S_CONTAINER_NAME = "k8s.container.name";
    /// Name of the pod.
    K8S_POD_NAME = "k8s.pod.name";
    /// UID of the pod.
    K8S_POD_UID = "k8s.pod.uid";
    /// Namespace of the pod.
    K8S_NAMESPACE_NAME = "k8s.namespace.name";
    /// Name of a container outside Kubernetes, where its runtime gives one.
    CONTAINER_NAME = "container.name";
    /// Name of the systemd unit of a process outside any container, or of the unit that consists of the container (Quadlet); for those of a user's own manager that of the manager, `user@1000.service`.
    SYSTEMD_UNIT = "systemd.unit";
    /// Who has named the container, where that was not root: `user 1000` of rootless Podman, `container <id>` of an engine in a container. Of a process in no container, unit and job its user, unless that is root.
    ACCEL_OWNER = "accel.owner";
    /// Id of the Slurm job that the process belongs to; a task of an array and a component of a heterogeneous job has its own.
    SLURM_JOB_ID = "slurm.job.id";
    /// Step of the Slurm job: its number, `batch`, `extern` or `interactive`.
    SLURM_STEP_ID = "slurm.step.id";
    /// Id of the job of PBS Professional, OpenPBS or Torque, e.g. `123.server`.
    PBS_JOB_ID = "pbs.job.id";
    /// Id of the job of IBM Spectrum LSF.
    LSF_JOB_ID = "lsf.job.id";
    /// Slot of HTCondor that the job runs in, e.g. `slot1_1@host`; its control group names no job.
    HTCONDOR_SLOT_NAME = "htcondor.slot.name";
    /// Name of the sampler.
    AGENT_SAMPLER = "agent.sampler";
    /// Outcome of a sampler's run or of a request.
    AGENT_OUTCOME = "agent.outcome";
    /// Why something did not happen.
    AGENT_REASON = "agent.reason";
    /// What memory is held for: `series` (live ones), `ends` (of series, until they are collected), `totals` (counters of what has ended), `names` (of processes and containers), `answers` (to requests) or `queue`.
    AGENT_MEMORY_PURPOSE = "agent.memory.purpose";
    /// The kernel module of the watched devices, or their family.
    AGENT_IOCTL_DRIVER = "agent.ioctl.driver";
    /// The kind of hook that sees the calls: `fentry`, `kprobe`, `tracepoint`, `raw_tracepoint` or `scan`.
    AGENT_IOCTL_HOOK = "agent.ioctl.hook";
    /// Name of the OTLP destination.
    DESTINATION = "destination";
    /// Name of the instrument concerned.
    AGENT_INSTRUMENT = "agent.instrument";
    /// Version of the agent.
    SERVICE_VERSION = "service.version";
    /// Source revision of the agent's build.
    VCS_REVISION = "vcs.ref.head.revision";
    /// Compiler that built the agent.
    AGENT_RUSTC = "agent.build.rustc";
    /// Path of the listener's route.
    HTTP_ROUTE = "http.route";
    /// HTTP status code of the answer.
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    /// Marks the series that takes what exceeded a cardinality limit.
    OTEL_METRIC_OVERFLOW = "otel.metric.overflow";
}
