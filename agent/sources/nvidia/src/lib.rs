//! NVIDIA GPUs, read through NVML, NVIDIA's management library.
//!
//! NVML hangs in the kernel when a GPU or the driver does, crashes with a broken one and must be reloaded after the
//! driver is replaced, so it runs in `agent worker nvidia`, never in the agent. There, one thread reads each topic of
//! each GPU (`topics`). A call that hangs or crashes affects its topic of its GPU only, which is suspended for a while
//! and then read after all others. A failed field or a lost GPU affects no other.

mod allocation;
pub mod catalogue;
mod duplicates;
mod explain;
mod explain_gpus;
mod fault;
mod gpu;
mod gpus;
mod ioctl;
pub mod key;
mod library;
mod nvml;
mod presence;
mod reader;
mod recorder;
mod sampler;
mod settings;
mod source;
mod status;
mod table;
mod topic;
mod topics;
mod worker;

/// Its name, and its section of the configuration.
const NAME: &str = "nvidia";

pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::sampler::{Launch, build, sampler};
pub use self::settings::Settings;
pub use self::source::SOURCE;
pub use self::worker::serve;
