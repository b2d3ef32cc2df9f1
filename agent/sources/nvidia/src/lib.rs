//! NVIDIA: every GPU as its management library NVML tells of it.
//!
//! NVML hangs in the kernel when a GPU or the driver does, crashes with a broken one and must be loaded anew after the
//! driver is replaced, so nothing of it runs in the agent: `agent worker nvidia` does. There, one thread reads topic
//! after topic of GPU after GPU (`topics`); what hangs or crashes costs its topic of its GPU, which the process that
//! follows leaves alone for a while, and reads after all else when it tries again (`quarantine`). A field that fails
//! loses only itself, a GPU that is lost only itself.

mod allocation;
mod explain;
mod fleet;
mod gpu;
mod instruments;
mod ioctl;
mod library;
mod nvml;
mod presence;
mod quarantine;
mod sampler;
mod settings;
mod sheet;
mod source;
mod status;
mod table;
mod topic;
mod topics;
mod vendor;
mod worker;

use instruments::INSTRUMENTS;

/// Its name, and its section of the configuration.
const NAME: &str = "nvidia";

pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::sampler::{Launch, build, command, sampler};
pub use self::settings::Settings;
pub use self::source::SOURCE;
pub use self::worker::serve;
