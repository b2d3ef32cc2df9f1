//! `hw.*`: semantic conventions 1.44; `hw.npu.*` mirrors `hw.gpu.*`, which has no NPU counterpart yet.

use super::{instrument, instruments};
use crate::metric::Kind::Gauge;
use crate::metric::key::HW_ID;

instruments! {
    NPU_UTILIZATION = instrument(
        "hw.npu.utilization", "1", Gauge, &[HW_ID],
        "Share of time in which the NPU had work outstanding, all its processes together, at most 1.",
    );
}
