//! The node annotation [`KEY`] of a replaced collector, as a view over the model.
//!
//! ```text
//! MetricsSource ──view──► text ──plan──► a write that is due ──client──► PATCH of the node
//! ```
//!
//! Needs the manifests of `deploy/kustomize/components/k8s-monitor-annotation`.

mod client;
mod plan;
mod settings;
mod view;
mod writer;

pub use settings::{ApiServer, KEY, NodeName, Settings, SettingsError};
pub use view::{MAX_AGE, annotation};
pub use writer::NodeAnnotation;
