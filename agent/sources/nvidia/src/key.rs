//! Attribute keys of NVIDIA, beside the shared ones.

pub use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// CUDA version that the driver supports.
    NVIDIA_CUDA_VERSION = "nvidia.cuda.version";
    /// Version of the management library NVML.
    NVIDIA_NVML_VERSION = "nvidia.nvml.version";
    /// Index of the GPU as `nvidia-smi` numbers them; may change with a reboot.
    NVIDIA_GPU_INDEX = "nvidia.gpu.index";
    /// Number of the GPU's `/dev/nvidia<N>`.
    NVIDIA_GPU_MINOR = "nvidia.gpu.minor";
    /// Part number of the board.
    NVIDIA_BOARD_PART_NUMBER = "nvidia.board.part_number";
    /// Architecture of the GPU, e.g. `hopper`.
    NVIDIA_ARCHITECTURE = "nvidia.architecture";
    /// Which power limit: `enforced` (all limiters considered), `configured` or `default`.
    NVIDIA_POWER_LIMIT = "nvidia.power.limit.type";
    /// Clock of the GPU: `graphics`, `sm`, `memory` or `video`.
    NVIDIA_CLOCK = "nvidia.clock";
    /// Why the GPU's clocks are lowered, e.g. `sw_power_cap`.
    NVIDIA_THROTTLE_REASON = "nvidia.throttle.reason";
    /// Memory of the GPU in which ECC found an error, e.g. `dram`, `sram`, `l2_cache`, `register_file`.
    NVIDIA_MEMORY_LOCATION = "nvidia.memory.location";
    /// Number of the NVLink.
    NVIDIA_NVLINK = "nvidia.nvlink.link";
    /// Id of the MIG compute instance in its GPU instance.
    NVIDIA_COMPUTE_INSTANCE = "nvidia.mig.compute_instance.id";
    /// Profile of the MIG instance, e.g. `3g.40gb` of a GPU instance and `1c.3g.40gb` of a compute instance.
    NVIDIA_MIG_PROFILE = "nvidia.mig.profile";
    /// UUID of the MIG device, which `CUDA_VISIBLE_DEVICES` and Kubernetes name.
    NVIDIA_MIG_UUID = "nvidia.mig.uuid";
    /// How the process uses the GPU: `compute`, `graphics`, `mps`, or several with `+` between them.
    NVIDIA_PROCESS_TYPE = "nvidia.process.type";
    /// What GPU and driver may be able to tell: `process_utilization`, `utilization_samples`, `gpm` or `xid`.
    NVIDIA_FEATURE = "nvidia.feature";
    /// Unit that GPM tells of: `graphics`, `sm`, `sm_occupancy`, `integer`, `tensor`, `tensor_hmma`, `dram`, `fp32` etc.
    NVIDIA_GPM_UNIT = "nvidia.gpm.unit";
    /// A group of readings of a GPU: `utilization`, `memory`, `processes`, `ecc`, `nvlink` etc., or `all`.
    NVIDIA_TOPIC = "nvidia.topic";
}
