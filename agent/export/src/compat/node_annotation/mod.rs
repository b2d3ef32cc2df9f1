//! The node annotation [`KEY`] of the replaced collector.
//!
//! ```text
//! MetricsSource ──view──► text ──schedule──► change that is due ──client──► PATCH of the node
//! ```
//!
//! Requires the manifests of `deploy/kustomize/components/k8s-monitor-annotation`.

mod api_server;
mod client;
mod schedule;
mod settings;
mod view;
mod writer;

pub use settings::{ApiServer, KEY, NodeName, Settings, SettingsError};
pub use view::{MAX_AGE, annotation};
pub use writer::NodeAnnotation;
