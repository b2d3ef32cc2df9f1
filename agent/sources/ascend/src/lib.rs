//! Ascend: Huawei's NPUs, read through the driver's tool `npu-smi` or its library `libdcmi.so`.
//!
//! A container that opens a card without being what the driver calls an "admin container" takes exclusive ownership of
//! the card. Therefore neither tool nor library is used unless this process is one.
//!
//! The tool takes a second when the driver is idle and more than ten when it is busy, and each call adds to the load.
//! Therefore one call runs at a time, with a deadline, and less often while the tool is slow.
//!
//! ```text
//! backend ─► sampler ─► reader ─► child, npu_smi
//!    │          └─────► points ─► energy, identity
//!    └─────► dcmi (agent worker ascend) ─► points
//! explain ─► backend, reader
//! ```

mod admin;
mod allocation;
mod backend;
pub mod catalogue;
mod child;
pub mod dcmi;
mod energy;
mod explain;
mod identity;
mod ids;
mod ioctl;
pub mod key;
pub mod npu_smi;
mod points;
mod reader;
mod sampler;
mod settings;
mod source;
mod table;
mod tool;

pub use self::backend::build;
pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::sampler::Sampler;
pub use self::settings::{Backend, Settings};
pub use self::source::SOURCE;
