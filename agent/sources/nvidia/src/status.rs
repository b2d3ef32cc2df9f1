//! The state of a GPU (`hw.status`) and its faults.

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

use super::catalogue::nvidia_parts;
use super::fault::Severity;
use super::gpu::Gpu;
use super::recorder::Recorder;
use super::topics::hw_type;

/// The conventions' states of a GPU.
const STATES: [(Severity, &str); 4] = [
    (Severity::None, "ok"),
    (Severity::Degraded, "degraded"),
    (Severity::PredictedFailure, "predicted_failure"),
    (Severity::Failed, "failed"),
];

/// `hw.status`: 1 for the current state. Absent if the GPU did not answer at all.
pub(super) fn record(gpu: &Gpu, recorder: &mut Recorder) {
    for fault in &gpu.health.faults {
        let fault = (key::ERROR_TYPE, fault.as_str().into());
        recorder.gauge(&nvidia_parts::DEVICE_FAULT, &gpu.label, [fault], 1i64);
    }
    let Some(current) = gpu.health.severity() else { return };
    for (severity, state) in STATES {
        let more = [hw_type(), (key::HW_STATE, state.into())];
        recorder.gauge(&hw::STATUS, &gpu.label, more, i64::from(severity == current));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Fault;
    use super::super::gpu::Health;
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_silence_is_no_state() {
        let mut health = Health::default();
        assert_eq!(health.severity(), None);
        health.answered = true;
        assert_eq!(health.severity(), Some(Severity::None));
        health.slowed = true;
        assert_eq!(health.severity(), Some(Severity::Degraded));
        health.faults.insert(Fault::RemappingFailed);
        assert_eq!(health.severity(), Some(Severity::PredictedFailure));
        health.lost = true;
        assert_eq!(health.severity(), Some(Severity::Failed));
        let states = STATES.map(|(severity, _)| severity);
        assert!(Fault::ALL.iter().all(|fault| states.contains(&fault.severity())));
    }
}
