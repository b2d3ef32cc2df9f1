//! Which features a GPU supports: the metrics of the others are absent, and this metric shows why.

use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::key;
use crate::recorder::Recorder;

/// Records whether the feature is supported, if its reading `field` succeeded or is not supported.
pub(super) fn record_read(
    gpu: &Gpu,
    recorder: &mut Recorder,
    feature: &'static str,
    field: &'static str,
    worked: bool,
) {
    if worked || gpu.refuses(field) {
        record(gpu, recorder, feature, worked);
    }
}

/// Records the feature, except for a GPU that does not answer.
pub(super) fn record(gpu: &Gpu, recorder: &mut Recorder, feature: &'static str, is_supported: bool) {
    if gpu.health.lost || gpu.health.suspended {
        return;
    }
    let feature = (key::NVIDIA_FEATURE, feature.into());
    recorder.gauge(
        &nvidia_parts::FEATURE_SUPPORTED,
        &gpu.label,
        [feature],
        i64::from(is_supported),
    );
}
