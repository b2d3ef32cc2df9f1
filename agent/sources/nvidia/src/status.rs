//! The state of a GPU in one word.

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

use super::gpu::{Findings, Gpu};
use super::sheet::Sheet;
use super::topics::hw_type;

/// What the conventions know of a GPU, the worst last.
const STATES: [&str; 4] = ["ok", "degraded", "predicted_failure", "failed"];

/// `hw.status`: 1 for the state that is true. Nothing where the GPU told nothing at all.
pub(super) fn tell(gpu: &Gpu, sheet: &mut Sheet) {
    let Some(state) = state(gpu.findings) else { return };
    for other in STATES {
        let more = [hw_type(), (key::HW_STATE, other.into())];
        sheet.gauge(&hw::STATUS, gpu, more, i64::from(other == state));
    }
}

fn state(findings: Findings) -> Option<&'static str> {
    Some(match findings {
        Findings { lost: true, .. } | Findings { hangs: true, .. } | Findings { must_reset: true, .. } => "failed",
        Findings { answered: false, .. } => return None,
        Findings { worn_out: true, .. } => "predicted_failure",
        Findings { slowed: true, .. } | Findings { needs_reset: true, .. } => "degraded",
        _ => "ok",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_silence_is_no_state() {
        let mut findings = Findings::default();
        assert_eq!(state(findings), None);
        findings.answered = true;
        assert_eq!(state(findings), Some("ok"));
        findings.slowed = true;
        assert_eq!(state(findings), Some("degraded"));
        findings.worn_out = true;
        assert_eq!(state(findings), Some("predicted_failure"));
        findings.lost = true;
        assert_eq!(state(findings), Some("failed"));
    }
}
