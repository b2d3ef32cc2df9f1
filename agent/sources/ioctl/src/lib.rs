//! Accelerator device nodes: their ioctl(2) calls, counted by eBPF programs, and the processes that hold them open.
//!
//! No node is ever opened: the first open wakes many devices or raises their power state.

mod attribute_cache;
pub mod catalogue;
mod commands;
mod configuration;
pub mod device;
mod device_owners;
mod device_table;
pub mod devices;
mod drain;
mod earlier_calls;
mod explain;
pub mod families;
mod holder_points;
pub mod holders;
mod hook_kind;
mod hook_setting;
mod host_threads;
pub mod kernel;
mod points;
mod proc_devices;
mod sampler;
mod scan;
mod self_metrics;
mod source;
mod table;

pub use self::configuration::{Configuration, ExtraDevice};
pub use self::device::Device;
pub use self::devices::Devices;
pub use self::explain::explain_devices;
pub use self::families::{Families, Family};
pub use self::holders::{Discovery, Holders};
pub use self::hook_kind::HookKind;
pub use self::hook_setting::Hooks;
pub use self::sampler::Sampler;
pub use self::source::SOURCE;
