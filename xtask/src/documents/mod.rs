//! Documents that follow from the list of sources.

mod configuration;
mod example;
mod metrics;

pub use configuration::configuration_md;
pub use example::example_toml;
pub use metrics::{metrics_md, snapshot};
