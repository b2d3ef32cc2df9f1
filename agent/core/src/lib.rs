//! What every part of the agent stands on: the metric model, access to the host, the contract of samplers, and the
//! supervision of worker processes. Knows no vendor, no exporter and no file format.

#![forbid(unsafe_code)]

pub mod allocation;
pub mod budget;
pub mod cgroup;
mod chain;
pub mod device;
pub mod energy;
mod eviction;
pub mod exhausted;
pub mod fair;
pub mod faults;
mod finding;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod holders;
pub mod host;
mod log_limiter;
pub mod metric;
mod percent;
pub mod printable;
pub mod sampler;
pub mod settings;
pub mod source;
pub mod table;
pub mod telemetry;
pub mod trust;
pub mod worker;

pub use chain::chain;
pub use eviction::{evict_fairly, evict_fairly_into, evict_oldest};
pub use log_limiter::LogLimiter;
pub use percent::percent;
