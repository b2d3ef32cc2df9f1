//! `ascend.*`: readings of the driver of Huawei's Ascend NPUs (`npu-smi` 1.8 to 26.0).

use crate::key::{
    ACCEL_DEVICE_ADDRESS, ASCEND_CHIP_ID, ASCEND_CLOCK, ASCEND_HEALTH, ASCEND_LOGICAL_ID, ASCEND_MEMORY_TYPE,
    ASCEND_NPU_ID, ASCEND_PHYSICAL_ID, ASCEND_TOOL_VERSION, ERROR_TYPE, HW_DRIVER_VERSION, HW_ID, HW_MODEL, HW_NAME,
    HW_TYPE, HW_VENDOR,
};
use accelscope_core::instruments;
use accelscope_core::metric::Instrument;
use accelscope_core::metric::Kind::{Gauge, UpDownCounter};
use accelscope_core::metric::catalogue::{accel, hw, instrument};
use accelscope_core::source::Extension;

const CHIP: &[&str] = &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID];
const MEMORY: &[&str] = &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_MEMORY_TYPE];
/// Keys of what the ECC of one memory counts.
const ERRORS_KEYS: &[&str] = &[
    HW_ID,
    HW_TYPE,
    ERROR_TYPE,
    ASCEND_NPU_ID,
    ASCEND_CHIP_ID,
    ASCEND_MEMORY_TYPE,
];
const CLOCK: &[&str] = &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_CLOCK];

/// Everything that the worker may send: the instruments of the source, and those that other sources have too.
pub(crate) const EMITTED: &[&[&Instrument]] = &[
    ALL,
    &[
        &hw::NPU_UTILIZATION,
        &hw::NPU_MEMORY_USAGE,
        &hw::NPU_MEMORY_LIMIT,
        &hw::POWER,
        &hw::ENERGY,
        &hw::TEMPERATURE,
        &hw::VOLTAGE,
        &hw::ERRORS,
        &hw::STATUS,
        &accel::PROCESS_MEMORY_USAGE,
    ],
];

/// The attributes of a chip on the instruments that other sources have too.
pub(crate) const EXTENSIONS: &[Extension] = &[
    Extension {
        instruments: &[
            &hw::NPU_UTILIZATION,
            &hw::POWER,
            &hw::ENERGY,
            &hw::TEMPERATURE,
            &hw::VOLTAGE,
            &hw::STATUS,
            &accel::PROCESS_MEMORY_USAGE,
        ],
        attributes: &[ASCEND_NPU_ID, ASCEND_CHIP_ID],
    },
    Extension {
        instruments: &[&hw::NPU_MEMORY_USAGE, &hw::NPU_MEMORY_LIMIT, &hw::ERRORS],
        attributes: &[ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_MEMORY_TYPE],
    },
    Extension {
        instruments: &[&accel::DEVICE_ALLOCATION],
        attributes: &[ASCEND_PHYSICAL_ID],
    },
];

instruments! {
    DEVICE_INFO = instrument(
        "ascend.device.info", "", Gauge,
        &[
            HW_ID, HW_NAME, HW_MODEL, HW_VENDOR, HW_DRIVER_VERSION, ASCEND_TOOL_VERSION, ACCEL_DEVICE_ADDRESS,
            ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_LOGICAL_ID, ASCEND_PHYSICAL_ID,
        ],
        "Always 1; its attributes describe the Ascend chip.",
    );
    HEALTH_STATUS = instrument(
        "ascend.health.status", "1", UpDownCounter, &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_HEALTH],
        "Health of the chip in the vendor's words: 1 for the one that is true, 0 for the others.",
    );
    AICORE_UTILIZATION = instrument(
        "ascend.aicore.utilization", "1", Gauge, CHIP,
        "Utilization of the chip's AI Cores. 0 while a profiler runs and where the chip is split into virtual NPUs.",
    );
    AICPU_UTILIZATION = instrument(
        "ascend.aicpu.utilization", "1", Gauge, CHIP, "Utilization of the chip's AI CPUs.",
    );
    NPU_UTILIZATION = instrument(
        "ascend.npu.utilization", "1", Gauge, CHIP,
        "Utilization of the NPU as a whole, which Ascend 950 tells: another quantity than that of the AI Cores.",
    );
    HUGEPAGES_USAGE = instrument(
        "ascend.hugepages.usage", "{page}", UpDownCounter, CHIP, "Huge pages of the chip's memory that are in use.",
    );
    HUGEPAGES_LIMIT = instrument(
        "ascend.hugepages.limit", "{page}", UpDownCounter, CHIP, "Huge pages of the chip's memory.",
    );
    PROCESS_COUNT = instrument(
        "ascend.processes", "{process}", UpDownCounter, CHIP, "Processes that use the chip, as the driver counts.",
    );
    TOOL_DURATION = instrument(
        "ascend.tool.duration", "s", Gauge, &[], "Time that the last call of npu-smi took, whether it succeeded or not.",
    );
    TOOL_LAST_SUCCESS = instrument(
        "ascend.tool.last_success", "s", Gauge, &[],
        "When npu-smi last gave readings, in seconds since 1970-01-01 UTC; absent before the first.",
    );
    VECTOR_UTILIZATION = instrument(
        "ascend.vector.utilization", "1", Gauge, CHIP, "Utilization of the chip's vector cores.",
    );
    CUBE_UTILIZATION = instrument(
        "ascend.cube.utilization", "1", Gauge, CHIP, "Utilization of the matrix units (cubes) of the chip's AI Cores.",
    );
    CONTROL_CPU_UTILIZATION = instrument(
        "ascend.control_cpu.utilization", "1", Gauge, CHIP, "Utilization of the chip's control CPUs.",
    );
    MEMORY_BANDWIDTH_UTILIZATION = instrument(
        "ascend.memory.bandwidth.utilization", "1", Gauge, MEMORY,
        "Share of the memory's bandwidth that is in use. Always 0 in a virtual machine.",
    );
    MEMORY_TEMPERATURE = instrument(
        "ascend.memory.temperature", "Cel", Gauge, MEMORY, "Temperature of the chip's memory.",
    );
    CLOCK_FREQUENCY = instrument(
        "ascend.clock.frequency", "Hz", Gauge, CLOCK, "Frequency at which the clock of the chip runs.",
    );
    CLOCK_FREQUENCY_LIMIT = instrument(
        "ascend.clock.frequency.limit", "Hz", Gauge, CLOCK, "Highest frequency of the clock of the chip.",
    );
    ECC_LIFETIME_ERRORS = instrument(
        "ascend.ecc.lifetime.errors", "{error}", Gauge, ERRORS_KEYS,
        "Errors that the memory's ECC found in all its life, across restarts of the device.",
    );
    ECC_ISOLATED_PAGES = instrument(
        "ascend.ecc.isolated.pages", "{page}", UpDownCounter, ERRORS_KEYS,
        "Pages of the memory that are no longer used because of such errors.",
    );
}
