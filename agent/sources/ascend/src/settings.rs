//! Settings of the sampler.

use std::path::PathBuf;
use std::time::Duration;

/// Name of the sampler and of its section in the configuration.
pub(super) const NAME: &str = "ascend";

/// Age in periods at which readings expire; energy is integrated over gaps of at most twice that.
pub(super) const MAX_AGE_PERIODS: u32 = 6;

/// Settings of the sampler (section `[ascend]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of `npu-smi`. If absent, the paths of the driver's package are searched.
    pub npu_smi: Option<PathBuf>,
    /// Time between two readings.
    pub period: Duration,
    /// Deadline of one reading, for all its calls together; then the tool is killed.
    pub timeout: Duration,
    /// Whether to use the tool and the library only if the driver considers this process an admin container. Any other
    /// process that opens a card takes exclusive ownership of it.
    pub require_admin: bool,
    /// Source of the readings.
    pub backend: Backend,
}

/// Source of the readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The library if it works, otherwise the tool.
    #[default]
    Auto,
    /// The tool `npu-smi`.
    NpuSmi,
    /// The library `libdcmi.so`.
    Dcmi,
}

impl Default for Settings {
    /// A period of 10 s. The timeout is longer: under load the tool takes 10 s and more, and killing it wastes the load
    /// that the call put on the driver.
    fn default() -> Self {
        Self {
            npu_smi: None,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            require_admin: true,
            backend: Backend::Auto,
        }
    }
}
