//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

/// The sampler's settings (`[ascend]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of `npu-smi`; searched where the driver's package puts it if absent.
    pub npu_smi: Option<PathBuf>,
    /// Time between two readings.
    pub period: Duration,
    /// Longest time that all calls for one reading may take; then the tool is killed.
    pub timeout: Duration,
    /// Start nothing unless this process is what the driver takes for an admin container. Anything else that opens a
    /// card takes it away from its users.
    pub require_admin: bool,
    /// Where the readings come from.
    pub backend: Backend,
}

/// Where the readings come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The best there is.
    #[default]
    Auto,
    /// The tool `npu-smi`.
    NpuSmi,
    /// The library `libdcmi.so`.
    Dcmi,
}

impl Default for Settings {
    /// Every 10 s. The tool's answer is waited for longer than that: under load it takes 10 s and more, and one that is
    /// killed has pressed the driver for nothing.
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
