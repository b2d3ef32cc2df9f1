//! `ascend.*`: what the driver of Huawei's Ascend NPUs tells (`npu-smi` 1.8 to 26.0).

use super::hw::CHIP;
use super::{instrument, instruments};
use crate::metric::Kind::{Gauge, UpDownCounter};
use crate::metric::key::{
    ACCEL_DEVICE_ADDRESS, ASCEND_CHIP_ID, ASCEND_HEALTH, ASCEND_LOGICAL_ID, ASCEND_NPU_ID, ASCEND_PHYSICAL_ID,
    ASCEND_TOOL_VERSION, HW_DRIVER_VERSION, HW_ID, HW_MODEL, HW_NAME, HW_VENDOR,
};

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
        "ascend.process.count", "{process}", UpDownCounter, CHIP, "Processes that use the chip, as the driver counts.",
    );
    TOOL_DURATION = instrument(
        "ascend.tool.duration", "s", Gauge, &[], "Time that the last call of npu-smi took, whether it succeeded or not.",
    );
    TOOL_LAST_SUCCESS = instrument(
        "ascend.tool.last_success", "s", Gauge, &[],
        "When npu-smi last gave readings, in seconds since 1970-01-01 UTC; absent before the first.",
    );
}
