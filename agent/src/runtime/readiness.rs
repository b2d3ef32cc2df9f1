//! Readiness of the agent, for `/readyz`.

use std::sync::Arc;

use accelscope_export::http::Readiness;
use accelscope_pipeline::{SeriesRegistry, Status};

/// Ready once every sampler has reported its first run, unless the processing of readings does not go on. A sampler that fails
/// later is listed, and the agent stays ready: a restart would not repair the sampler.
#[derive(Debug)]
pub(super) struct AllReported {
    pub(super) statuses: Vec<Arc<Status>>,
    pub(super) registry: Arc<SeriesRegistry>,
}

impl Readiness for AllReported {
    fn check(&self) -> Result<String, String> {
        let mut ready = true;
        let line = |status: &Arc<Status>| {
            let state = match (status.last(), status.stuck()) {
                (_, Some(over)) => format!("over its deadline by {:.1} s", over.as_secs_f64()),
                (Some(report), None) if report.detail.is_empty() => report.outcome.to_owned(),
                (Some(report), None) => format!("{}: {}", report.outcome, report.detail),
                (None, None) => {
                    ready = false;
                    "has not reported yet".to_owned()
                }
            };
            format!("{}: {state}\n", status.descriptor.name)
        };
        let mut lines: String = self.statuses.iter().map(line).collect();
        if let Some(stall) = self.registry.stall() {
            ready = false;
            lines.insert_str(
                0,
                &format!("the processing of readings does not go on: it is {stall}\n"),
            );
        }
        if ready { Ok(lines) } else { Err(lines) }
    }
}
