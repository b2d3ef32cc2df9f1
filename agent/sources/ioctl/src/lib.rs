//! Accelerator device nodes: which there are, what their ioctls mean, and who holds them open.
//!
//! No node is ever opened: the first open of a Hailo device wakes it, and other vendors' nodes raise power states too.

mod commands;
mod configuration;
pub mod device;
pub mod devices;
mod drain;
mod explain;
pub mod extra;
pub mod families;
mod holder_points;
pub mod holders;
mod hook_kind;
mod hook_setting;
pub mod kernel;
mod labels;
mod majors;
mod open;
mod own;
mod places;
mod points;
mod sampler;
mod scan;
mod settings;
mod source;
mod sysfs;
mod table;
mod threads;

pub use self::configuration::{Configuration, ExtraDevice};
pub use self::device::Device;
pub use self::devices::Devices;
pub use self::explain::explain_devices;
pub use self::extra::Extra;
pub use self::families::{Families, Family};
pub use self::holder_points::{DeviceLabels, points as holder_points};
pub use self::holders::{Holders, Told};
pub use self::hook_kind::HookKind;
pub use self::hook_setting::Hooks;
pub use self::open::open;
pub use self::sampler::{Open, Sampler};
pub use self::settings::Settings;
pub use self::source::SOURCE;
