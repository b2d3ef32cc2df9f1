//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

use super::extra::Extra;
use crate::Rung;

/// The sampler's settings (`[ioctl]`).
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Nodes to watch beside those that are found.
    pub extra: Vec<Extra>,
    /// The hooks to try; the best that the kernel allows if absent.
    pub hooks: Option<Vec<Rung>>,
    /// A file with the kernel's BTF, as this process sees it.
    pub btf: Option<PathBuf>,
    /// Time between two readings.
    pub period: Duration,
    /// A series for each process (`attribution.per_process`).
    pub per_process: bool,
}
