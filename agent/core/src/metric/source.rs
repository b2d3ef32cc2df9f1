//! Read access to the newest state of all series.

use super::{Resource, Series};

/// The newest state of all series, as exporters read it.
///
/// Called once a scrape. It answers from memory, so that a scrape never touches a driver and never delays a sampler.
pub trait MetricsSource: Send + Sync {
    /// Every live series, in any order; readers skip ended ones.
    fn series(&self) -> Vec<Series>;

    /// Attributes of the agent and its host.
    fn resource(&self) -> &Resource;
}
