//! The state of a GPU (`hw.status`).

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

use super::gpu::{Gpu, Health};
use super::recorder::Recorder;
use super::topics::hw_type;

/// The conventions' states of a GPU, the worst last.
const STATES: [&str; 4] = ["ok", "degraded", "predicted_failure", "failed"];

/// `hw.status`: 1 for the current state. Absent if the GPU did not answer at all.
pub(super) fn record(gpu: &Gpu, recorder: &mut Recorder) {
    let Some(state) = state(gpu.health) else { return };
    for other in STATES {
        let more = [hw_type(), (key::HW_STATE, other.into())];
        recorder.gauge(&hw::STATUS, &gpu.label, more, i64::from(other == state));
    }
}

fn state(health: Health) -> Option<&'static str> {
    Some(match health {
        Health { lost: true, .. } | Health { suspended: true, .. } | Health { must_reset: true, .. } => "failed",
        Health { answered: false, .. } => return None,
        Health { worn_out: true, .. } => "predicted_failure",
        Health { slowed: true, .. } | Health { needs_reset: true, .. } => "degraded",
        _ => "ok",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_silence_is_no_state() {
        let mut health = Health::default();
        assert_eq!(state(health), None);
        health.answered = true;
        assert_eq!(state(health), Some("ok"));
        health.slowed = true;
        assert_eq!(state(health), Some("degraded"));
        health.worn_out = true;
        assert_eq!(state(health), Some("predicted_failure"));
        health.lost = true;
        assert_eq!(state(health), Some("failed"));
    }
}
