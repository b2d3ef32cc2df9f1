//! `accel.*`: what has no semantic convention and is the same for every vendor.

use super::{instrument, instruments, owned};
use crate::metric::Kind::UpDownCounter;
use crate::metric::Merge::Sum;
use crate::metric::key::{ASCEND_CHIP_ID, ASCEND_NPU_ID, HW_ID};

instruments! {
    PROCESS_MEMORY_USAGE = owned(instrument(
        "accel.process.memory.usage", "By", UpDownCounter, &[HW_ID, ASCEND_NPU_ID, ASCEND_CHIP_ID],
        "Memory of the accelerator that the process uses, as the driver tells it.",
    ), Sum);
}
