//! Ascend: Huawei's NPUs, as the driver's own tool `npu-smi` tells of them.
//!
//! A container that opens a card without being the driver's "admin container" owns it from then on and locks its users
//! out. So nothing is started before it is certain that this process is one.
//!
//! The tool takes a second when the driver is at ease and more than ten when it is not, and each caller makes that
//! worse: one call at a time, none sooner than the driver's answers allow, and each with a deadline.

mod admin;
mod allocation;
mod backend;
mod child;
pub mod dcmi;
mod energy;
mod explain;
mod identity;
mod ioctl;
pub mod npu_smi;
mod points;
mod sampler;
mod settings;
mod source;
mod table;
mod tool;

pub use self::backend::build;
pub use self::child::{Child, ChildError, Finished};
pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::sampler::{Latest, Reading, Sampler};
pub use self::settings::{Backend, Settings};
pub use self::source::SOURCE;
