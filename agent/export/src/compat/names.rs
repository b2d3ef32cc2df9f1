//! Names of the instruments and attribute keys that the replaced tools' views read.
//!
//! The exporters do not depend on the sources: they find a vendor's series by name, and a name that no series has leaves
//! its sample or label out. `tests/compat_names.rs` checks every name against the catalogue.

macro_rules! names {
    ($($name:ident = $text:expr;)*) => {
        $(pub(in crate::compat) const $name: &str = $text;)*
        /// Every name of this list.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

/// Names of instruments.
pub mod instrument {
    use accelscope_core::metric::catalogue::{accel, agent, hw};

    names! {
        GPU_MEMORY_USAGE = hw::GPU_MEMORY_USAGE.name;
        GPU_MEMORY_LIMIT = hw::GPU_MEMORY_LIMIT.name;
        GPU_UTILIZATION = hw::GPU_UTILIZATION.name;
        NPU_MEMORY_USAGE = hw::NPU_MEMORY_USAGE.name;
        NPU_MEMORY_LIMIT = hw::NPU_MEMORY_LIMIT.name;
        NPU_UTILIZATION = hw::NPU_UTILIZATION.name;
        POWER = hw::POWER.name;
        TEMPERATURE = hw::TEMPERATURE.name;
        PROCESS_MEMORY_USAGE = accel::PROCESS_MEMORY_USAGE.name;
        PROCESS_UTILIZATION = accel::PROCESS_UTILIZATION.name;
        PROCESS_START_TIME = accel::PROCESS_START_TIME.name;
        SAMPLER_RUNS = agent::SAMPLER_RUNS.name;
        HOST_INFO = "accel.host.info";
        CPU_UTILIZATION = "system.cpu.utilization";
        CPU_LOGICAL_COUNT = "system.cpu.logical.count";
        CPU_PHYSICAL_COUNT = "system.cpu.physical.count";
        MEMORY_LIMIT = "system.memory.limit";
        MEMORY_AVAILABLE = "system.memory.linux.available";
        UPTIME = "system.uptime";
        NVIDIA_DEVICES = "nvidia.devices";
        NVIDIA_DEVICE_INFO = "nvidia.device.info";
        NVIDIA_MEMORY_RESERVED = "nvidia.memory.reserved";
        NVIDIA_POWER_LIMIT = "nvidia.power.limit";
        NVIDIA_PROCESS_INFO = "nvidia.process.info";
        NVIDIA_PROCESSES = "nvidia.processes";
        NVIDIA_MIG_MEMORY_LIMIT = "nvidia.mig.memory.limit";
        ASCEND_DEVICE_INFO = "ascend.device.info";
        ASCEND_HEALTH_STATUS = "ascend.health.status";
    }
}

/// Attribute keys of the sources.
pub mod attribute {
    names! {
        HOST_NAME = "host.name";
        HOST_CPU_MODEL = "host.cpu.model.name";
        HOST_KERNEL_VERSION = "accel.host.kernel_version";
        OS_NAME = "os.name";
        OS_VERSION = "os.version";
        CPU_MODE = "cpu.mode";
        NVIDIA_GPU_INDEX = "nvidia.gpu.index";
        NVIDIA_POWER_LIMIT = "nvidia.power.limit.type";
        NVIDIA_GPU_INSTANCE = "nvidia.mig.gpu_instance.id";
        NVIDIA_COMPUTE_INSTANCE = "nvidia.mig.compute_instance.id";
        NVIDIA_PROCESS_TYPE = "nvidia.process.type";
        ASCEND_NPU_ID = "ascend.npu.id";
        ASCEND_CHIP_ID = "ascend.chip.id";
        ASCEND_PHYSICAL_ID = "ascend.physical.id";
        ASCEND_MEMORY_TYPE = "ascend.memory.type";
        ASCEND_HEALTH = "ascend.health";
    }
}
