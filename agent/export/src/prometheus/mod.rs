//! Text formats of Prometheus: 0.0.4 and OpenMetrics 1.0.

mod family;
mod labels;
pub mod name;
mod text;

pub use family::Format;
pub(crate) use labels::escape_into;
pub use text::Renderer;

pub use accelscope_core::metric::MetricsSource;
