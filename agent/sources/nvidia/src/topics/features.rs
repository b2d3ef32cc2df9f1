//! Whether a GPU can tell something at all: what it cannot is absent everywhere else, and here one sees why.

use crate::gpu::Gpu;
use crate::sheet::Sheet;
use accelscope_core::metric::catalogue::nvidia_parts;
use accelscope_core::metric::key;

/// Tells it, where the reading `field` worked or was refused for good; a passing failure says nothing.
pub(super) fn tell(gpu: &Gpu, sheet: &mut Sheet, feature: &'static str, field: &'static str, worked: bool) {
    if worked || gpu.refuses(field) {
        say(gpu, sheet, feature, worked);
    }
}

/// Tells it, but not of a GPU that answers nothing.
pub(super) fn say(gpu: &Gpu, sheet: &mut Sheet, feature: &'static str, is_supported: bool) {
    if gpu.findings.lost || gpu.findings.hangs {
        return;
    }
    let feature = (key::NVIDIA_FEATURE, feature.into());
    sheet.gauge(
        &nvidia_parts::FEATURE_SUPPORTED,
        gpu,
        [feature],
        i64::from(is_supported),
    );
}
