//! `nvidia.*`: readings of NVML of a GPU beyond the conventions (nvml.h 13.5).

use crate::key::{
    ACCEL_DEVICE_ADDRESS, ERROR_TYPE, HW_DRIVER_VERSION, HW_FIRMWARE_VERSION, HW_ID, HW_LIMIT_TYPE, HW_MODEL, HW_NAME,
    HW_SERIAL_NUMBER, HW_VENDOR, NETWORK_IO_DIRECTION, NVIDIA_ARCHITECTURE, NVIDIA_BOARD_PART_NUMBER, NVIDIA_CLOCK,
    NVIDIA_CUDA_VERSION, NVIDIA_GPU_INDEX, NVIDIA_GPU_MINOR, NVIDIA_MEMORY_LOCATION, NVIDIA_NVLINK,
    NVIDIA_NVML_VERSION, NVIDIA_POWER_LIMIT, NVIDIA_THROTTLE_REASON,
};
use accelscope_core::instruments;
use accelscope_core::metric::Kind::{Counter, Gauge, UpDownCounter};
use accelscope_core::metric::catalogue::instrument;

const GPU: &[&str] = &[HW_ID];

instruments! {
    DEVICES = instrument(
        "nvidia.devices", "{gpu}", UpDownCounter, &[], "NVIDIA GPUs that the driver lists, those that are lost included.",
    );
    DEVICE_INFO = instrument(
        "nvidia.device.info", "", Gauge,
        &[
            HW_ID, HW_NAME, HW_MODEL, HW_VENDOR, HW_SERIAL_NUMBER, HW_DRIVER_VERSION, HW_FIRMWARE_VERSION,
            ACCEL_DEVICE_ADDRESS, NVIDIA_CUDA_VERSION, NVIDIA_NVML_VERSION, NVIDIA_GPU_INDEX, NVIDIA_GPU_MINOR,
            NVIDIA_BOARD_PART_NUMBER, NVIDIA_ARCHITECTURE,
        ],
        "Always 1; its attributes describe the NVIDIA GPU.",
    );
    MEMORY_RESERVED = instrument(
        "nvidia.memory.reserved", "By", UpDownCounter, GPU, "Memory of the GPU that driver and firmware reserve.",
    );
    MEMORY_BANDWIDTH_UTILIZATION = instrument(
        "nvidia.memory.bandwidth.utilization", "1", Gauge, GPU,
        "Share of time in which the GPU's memory was being read or written, over the driver's last sampling period.",
    );
    POWER_LIMIT = instrument(
        "nvidia.power.limit", "W", Gauge, &[HW_ID, NVIDIA_POWER_LIMIT], "Electric power that the GPU may draw.",
    );
    TEMPERATURE_MARGIN = instrument(
        "nvidia.temperature.margin", "Cel", Gauge, GPU,
        "How much hotter the GPU may become before it is slowed down (T.Limit; Ada and newer).",
    );
    TEMPERATURE_MARGIN_LIMIT = instrument(
        "nvidia.temperature.margin.limit", "Cel", Gauge, &[HW_ID, HW_LIMIT_TYPE],
        "nvidia.temperature.margin at which the GPU protects itself as hw.limit_type says; negative ones lie beyond the \
         first slowdown.",
    );
    CLOCK_FREQUENCY = instrument(
        "nvidia.clock.frequency", "Hz", Gauge, &[HW_ID, NVIDIA_CLOCK], "Frequency at which the GPU's clock runs.",
    );
    CLOCK_FREQUENCY_LIMIT = instrument(
        "nvidia.clock.frequency.limit", "Hz", Gauge, &[HW_ID, NVIDIA_CLOCK], "Highest frequency of the GPU's clock.",
    );
    THROTTLE_ACTIVE = instrument(
        "nvidia.throttle.active", "", Gauge, &[HW_ID, NVIDIA_THROTTLE_REASON],
        "1 while the GPU's clocks are lowered for this reason, else 0.",
    );
    PERFORMANCE_STATE = instrument(
        "nvidia.performance.state", "{pstate}", Gauge, GPU,
        "Performance state of the GPU: 0 is the fastest (P0), 15 the slowest (P15).",
    );
    PCIE_LINK_GENERATION = instrument(
        "nvidia.pcie.link.generation", "{generation}", Gauge, GPU,
        "Generation at which the GPU's PCIe link runs; it falls while the GPU is idle.",
    );
    PCIE_LINK_GENERATION_LIMIT = instrument(
        "nvidia.pcie.link.generation.limit", "{generation}", Gauge, GPU,
        "Highest generation of PCIe that GPU and slot can do together.",
    );
    PCIE_LINK_WIDTH = instrument(
        "nvidia.pcie.link.width", "{lane}", Gauge, GPU, "Lanes that the GPU's PCIe link uses.",
    );
    PCIE_LINK_WIDTH_LIMIT = instrument(
        "nvidia.pcie.link.width.limit", "{lane}", Gauge, GPU, "Lanes that GPU and slot can use together.",
    );
    PCIE_REPLAYS = instrument(
        "nvidia.pcie.replays", "{replay}", Counter, GPU, "Packets that were sent again over the GPU's PCIe link.",
    );
    PCIE_ERRORS = instrument(
        "nvidia.pcie.errors", "{error}", Counter, &[HW_ID, ERROR_TYPE],
        "Errors on the GPU's PCIe link by kind (Hopper and newer).",
    );
    NVLINK_IO = instrument(
        "nvidia.nvlink.io", "By", Counter, &[HW_ID, NETWORK_IO_DIRECTION],
        "Bytes of payload that the GPU received and transmitted over all its NVLinks.",
    );
    NVLINK_ERRORS = instrument(
        "nvidia.nvlink.errors", "{error}", Counter, &[HW_ID, NVIDIA_NVLINK, ERROR_TYPE],
        "Errors on one NVLink of the GPU by kind.",
    );
    NVLINK_UP = instrument(
        "nvidia.nvlink.up", "", Gauge, &[HW_ID, NVIDIA_NVLINK], "1 while the GPU's NVLink can carry traffic, asleep to save power or not, else 0.",
    );
    ECC_ENABLED = instrument("nvidia.ecc.enabled", "", Gauge, GPU, "1 while the GPU's ECC is on, else 0.");
    ECC_ERRORS = instrument(
        "nvidia.ecc.errors", "{error}", Counter, &[HW_ID, ERROR_TYPE, NVIDIA_MEMORY_LOCATION],
        "Errors that ECC found in one memory of the GPU since the driver was loaded.",
    );
    ECC_LIFETIME_ERRORS = instrument(
        "nvidia.ecc.lifetime.errors", "{error}", Gauge, &[HW_ID, ERROR_TYPE],
        "Errors that ECC found in all the GPU's life, as its infoROM keeps them.",
    );
    REMAPPED_ROWS = instrument(
        "nvidia.remapped.rows", "{row}", UpDownCounter, &[HW_ID, ERROR_TYPE],
        "Rows of the GPU's memory that were replaced by spare ones because of such errors (Ampere and newer).",
    );
    REMAPPED_ROWS_PENDING = instrument(
        "nvidia.remapped.rows.pending", "", Gauge, GPU,
        "1 while a row of the GPU's memory waits for the next reset to be replaced, else 0.",
    );
    REMAPPED_ROWS_FAILED = instrument(
        "nvidia.remapped.rows.failed", "", Gauge, GPU,
        "1 if a row of the GPU's memory could not be replaced, else 0: the board must be exchanged.",
    );
    RETIRED_PAGES = instrument(
        "nvidia.retired.pages", "{page}", UpDownCounter, &[HW_ID, ERROR_TYPE],
        "Pages of the GPU's memory that are no longer used because of such errors (before Ampere).",
    );
    RETIRED_PAGES_PENDING = instrument(
        "nvidia.retired.pages.pending", "", Gauge, GPU,
        "1 while a page of the GPU's memory waits for the next reset to be retired, else 0.",
    );
}
