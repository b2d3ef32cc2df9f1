//! Accelerator device nodes: which there are, what their ioctls mean, and who holds them open.
//!
//! No node is ever opened: the first open of a Hailo device wakes it, and other vendors' nodes raise power states too.

pub mod commands;
pub mod device;
pub mod family;
pub mod kernel;

pub use self::commands::{Command, Pattern, describe, waiting};
pub use self::device::Device;
pub use self::family::Family;
