//! Attribute keys of Ascend, beside the shared ones.

pub use accelscope_core::metric::key::*;

accelscope_core::keys! {
    /// Id of the NPU (the card) as `npu-smi` has it; neither dense nor small.
    ASCEND_NPU_ID = "ascend.npu.id";
    /// Id of the chip on its NPU.
    ASCEND_CHIP_ID = "ascend.chip.id";
    /// Logical id of the chip.
    ASCEND_LOGICAL_ID = "ascend.logical.id";
    /// Physical id of the chip: the number of its `/dev/davinci<N>`.
    ASCEND_PHYSICAL_ID = "ascend.physical.id";
    /// Kind of the chip's memory: `hbm`, `ddr` or `sram`.
    ASCEND_MEMORY_TYPE = "ascend.memory.type";
    /// Health in the vendor's words: `OK`, `Warning`, `Alarm`, `Critical` or `UNKNOWN`.
    ASCEND_HEALTH = "ascend.health";
    /// Clock of the chip: `aicore`, `vector`, `control_cpu`, `hbm` or `ddr`.
    ASCEND_CLOCK = "ascend.clock";
    /// Version of `npu-smi`.
    ASCEND_TOOL_VERSION = "ascend.tool.version";
}
