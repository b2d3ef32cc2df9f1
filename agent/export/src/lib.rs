//! Batches into bytes: OTLP, Prometheus, stdout, and the views of the replaced tools.

pub mod compat;
pub mod document;
pub mod http;
pub mod otlp;
pub mod prometheus;
pub mod stdout;

#[cfg(feature = "k8s-annotation")]
pub use compat::node_annotation;
