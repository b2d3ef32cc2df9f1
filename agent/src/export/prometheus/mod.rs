//! Prometheus' text formats from the latest snapshot: 0.0.4 and OpenMetrics 1.0.

mod family;
mod labels;
pub mod name;
mod text;

pub(in crate::export) use labels::escape_into;
pub use text::{Format, Renderer};

use crate::metric::{Resource, Series};

/// Where the newest state of everything is to be had. Called once a scrape; it must answer from memory, so that a
/// scrape never touches a driver and never makes a sampler wait.
pub trait MetricsSource: Send + Sync {
    /// Every series that is live, in any order; ended ones are skipped by whoever reads.
    fn series(&self) -> Vec<Series>;

    /// Who speaks.
    fn resource(&self) -> &Resource;
}
