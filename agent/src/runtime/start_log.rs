//! What the log of a service begins with: the program, its configuration, and what it found.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::cli;
use crate::config::DEFAULT_FILE;
use accelscope_core::source::Sources;
use accelscope_pipeline::{Found, Started, Status};

/// Time between two looks whether all samplers have reported, and the longest time to wait for them.
const LOOK: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(30);

/// Program and configuration.
pub fn log_start(file: Option<&Path>, is_demo: bool) {
    let (version, revision) = (env!("CARGO_PKG_VERSION"), cli::BUILD.revision);
    tracing::info!(version, revision, "accelscope agent");
    if let Some(file) = file {
        tracing::info!(file = %file.display(), "configuration read");
    } else {
        tracing::info!(
            "no configuration file: defaults, the environment and --set apply; {DEFAULT_FILE} is read where it exists"
        );
    }
    if is_demo {
        tracing::warn!(
            "--demo: the accelerators are made up; what is pushed and served has the resource attribute accelscope.demo and \
             an instance id of its own"
        );
    }
}

/// What each sampler found, once all have reported or are over their deadlines.
async fn log_found(statuses: Vec<Arc<Status>>, sources: Sources) {
    let is_news = |name: &str| {
        let mut sources = sources.iter();
        sources.any(|source| source.name == name && source.logs_absence)
    };
    let wait = async {
        while !statuses.iter().all(|status| status.has_reported()) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.ok();
    for status in &statuses {
        let name = status.descriptor.name;
        match (status.last(), status.found()) {
            (None, _) => tracing::warn!(
                "{name}: {}; `agent doctor` says more",
                unfinished(status.stuck().map(|over| status.descriptor.deadline + over))
            ),
            (Some(report), Some(Found { devices, readings })) if report.detail.is_empty() => {
                tracing::info!(devices, readings, "{name}: found");
            }
            (Some(report), _) if report.is_failure() => {
                tracing::warn!("{name}: nothing could be read: {}", report.detail);
            }
            (Some(report), _) if is_news(name) => tracing::info!("{name}: nothing found: {}", report.detail),
            (Some(report), _) => tracing::debug!("{name}: nothing found: {}", report.detail),
        }
    }
}

/// Why a sampler has no result; `running`: how long its run takes, where that is over its deadline.
fn unfinished(running: Option<Duration>) -> String {
    match running {
        Some(running) => format!(
            "its first reading takes {} s already, which is over its deadline",
            running.as_secs()
        ),
        None => format!("has not reported within {PATIENCE:?}"),
    }
}

/// As [`log_found`], in the background.
pub(super) fn spawn(started: &Started, sources: Sources) {
    tokio::spawn(log_found(started.statuses.clone(), sources));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_is_over_its_deadline_is_said_to_take_as_long_as_it_does() {
        let said = unfinished(Some(Duration::from_millis(12_250)));
        assert_eq!(said, "its first reading takes 12 s already, which is over its deadline");
        assert_eq!(unfinished(None), "has not reported within 30s");
    }
}
