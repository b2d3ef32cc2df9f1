//! `agent doctor`: findings on this machine, with remedies.

mod accelerators;
mod access;
mod checks;
mod closed;
mod destinations;
mod named;
mod running;
mod wrapped;

pub use accelerators::{explains_while_running, while_running};
pub use checks::{examine, of_this_process};
pub use wrapped::text;

use accelscope_core::sampler::{Finding, Level};

/// Whether the main job can run.
pub fn can_run(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level != Level::Fail)
}
