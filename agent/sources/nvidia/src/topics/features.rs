//! Which features a GPU supports: the metrics of the others are absent, and this metric shows why.

use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::key;
use crate::recorder::Recorder;

/// Records it where the reading `field` worked or is not supported; after another failure it is not known.
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

/// Records it, but not of a GPU that does not answer.
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
