//! Devices that the node's kubelet has allocated to containers, idle ones included.
//!
//! Calls List of the kubelet's PodResources API (v1, gRPC over a unix socket) once a period. The response has resources
//! of device plugins and, where the kubelet's feature gate is on, resource claims (DRA).

#![forbid(unsafe_code)]

mod allocation;
mod client;
mod explain;
mod pods;
mod restart;
mod sampler;
mod settings;
mod source;

pub use self::explain::explain;
pub use self::sampler::Sampler;
pub use self::settings::Settings;
pub use self::source::SOURCE;
