//! `hw.*`: semantic conventions 1.44; `hw.npu.*` mirrors `hw.gpu.*`, which has no NPU counterpart yet.

use super::{instrument, instruments};
use crate::metric::Kind::{Counter, Gauge, UpDownCounter};
use crate::metric::key::{
    ACCEL_DERIVED, ASCEND_CHIP_ID, ASCEND_MEMORY_TYPE, ASCEND_NPU_ID, ERROR_TYPE, HW_ID, HW_STATE, HW_TYPE,
};

/// Keys of a reading of one chip; the vendor's own where it numbers chips.
pub(super) const CHIP: &[&str] = &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID];
pub(super) const MEMORY: &[&str] = &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID, ASCEND_MEMORY_TYPE];
const TYPED: &[&str] = &[HW_ID, HW_TYPE, ASCEND_NPU_ID, ASCEND_CHIP_ID];
/// Keys of what the ECC of one memory counts.
pub(super) const ERRORS_KEYS: &[&str] = &[
    HW_ID,
    HW_TYPE,
    ERROR_TYPE,
    ASCEND_NPU_ID,
    ASCEND_CHIP_ID,
    ASCEND_MEMORY_TYPE,
];

instruments! {
    NPU_UTILIZATION = instrument(
        "hw.npu.utilization", "1", Gauge, CHIP,
        "Share of time in which the NPU had work outstanding, all its processes together, at most 1.",
    );
    NPU_MEMORY_USAGE = instrument(
        "hw.npu.memory.usage", "By", UpDownCounter, MEMORY, "Memory of the NPU that is in use.",
    );
    NPU_MEMORY_LIMIT = instrument("hw.npu.memory.limit", "By", UpDownCounter, MEMORY, "Memory of the NPU.");
    POWER = instrument("hw.power", "W", Gauge, TYPED, "Electric power that the device draws.");
    ENERGY = instrument(
        "hw.energy", "J", Counter, &[HW_ID, HW_TYPE, ACCEL_DERIVED, ASCEND_NPU_ID, ASCEND_CHIP_ID],
        "Energy that the device used. With accel.derived = true it is integrated from hw.power between readings.",
    );
    TEMPERATURE = instrument("hw.temperature", "Cel", Gauge, CHIP, "Temperature of the device.");
    VOLTAGE = instrument("hw.voltage", "V", Gauge, CHIP, "Voltage of the device.");
    ERRORS = instrument(
        "hw.errors", "{error}", Counter, ERRORS_KEYS,
        "Errors of the device's memory that its ECC found, since the device started.",
    );
    STATUS = instrument(
        "hw.status", "1", UpDownCounter, &[HW_ID, HW_TYPE, HW_STATE, ASCEND_NPU_ID, ASCEND_CHIP_ID],
        "State of the device: 1 for the one that is true, 0 for the others.",
    );
}
