//! Accelerator device nodes: which there are, what their ioctls mean, and who holds them open.
//!
//! No node is ever opened: the first open of a Hailo device wakes it, and other vendors' nodes raise power states too.

pub mod commands;
pub mod device;
pub mod devices;
mod drain;
mod explain;
pub mod extra;
mod families;
pub mod family;
mod holder_points;
pub mod holders;
pub mod hooks;
pub mod kernel;
mod labels;
mod majors;
mod open;
mod own;
mod places;
mod points;
mod rung;
mod sampler;
mod scan;
mod settings;
mod sysfs;
mod threads;

pub use self::commands::{Command, Pattern, describe, waiting};
pub use self::device::Device;
pub use self::devices::Devices;
pub use self::explain::explain_devices;
pub use self::extra::Extra;
pub use self::family::Family;
pub use self::holder_points::{DeviceLabels, points as holder_points};
pub use self::holders::{Holders, Told};
pub use self::hooks::{Hook, hooks};
pub use self::open::open;
pub use self::rung::Rung;
pub use self::sampler::{Open, Sampler};
pub use self::settings::Settings;
