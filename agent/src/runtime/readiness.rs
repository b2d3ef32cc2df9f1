//! Readiness of the agent, for `/readyz`.

use std::fmt::Write;
use std::sync::Arc;

use accelscope_export::http::Readiness;
use accelscope_pipeline::Status;

/// Ready once every sampler has reported its first run. A sampler that fails later is listed, and the agent stays ready:
/// a restart would not repair the sampler.
#[derive(Debug)]
pub(super) struct AllReported {
    pub(super) statuses: Vec<Arc<Status>>,
}

impl Readiness for AllReported {
    fn check(&self) -> Result<String, String> {
        let (mut lines, mut ready) = (String::new(), true);
        for status in &self.statuses {
            let name = status.descriptor.name;
            // Writing to a string cannot fail.
            match (status.last(), status.stuck()) {
                (_, Some(over)) => {
                    writeln!(lines, "{name}: over its deadline by {:.1} s", over.as_secs_f64()).ok();
                }
                (Some(report), None) => {
                    let colon = if report.detail.is_empty() { "" } else { ": " };
                    writeln!(lines, "{name}: {}{colon}{}", report.outcome, report.detail).ok();
                }
                (None, None) => {
                    ready = false;
                    writeln!(lines, "{name}: has not reported yet").ok();
                }
            }
        }
        if ready { Ok(lines) } else { Err(lines) }
    }
}
