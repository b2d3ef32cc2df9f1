//! Exporters: OTLP, Prometheus, the terminal, and views in the formats of the replaced tools.

#![forbid(unsafe_code)]

mod backoff;
mod client;
pub mod compat;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod http;
pub mod otlp;
pub mod prometheus;
mod proxy;
pub mod stdout;

pub use proxy::Proxy;

#[cfg(feature = "k8s-annotation")]
pub use compat::node_annotation;
