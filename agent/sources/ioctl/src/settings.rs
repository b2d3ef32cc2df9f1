//! What the sampler is built from.

use std::path::PathBuf;
use std::time::Duration;

use super::extra::Extra;
use super::families::Families;
use super::hook_setting::Hooks;

/// The sampler's settings, resolved from its [`Configuration`](super::Configuration) against the sources that are built in.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The families of devices to watch.
    pub families: Families,
    /// Nodes to watch in addition to those that are found.
    pub extra: Vec<Extra>,
    /// Hooks that may be used.
    pub hooks: Hooks,
    /// A file with the kernel's BTF, as a path of this process.
    pub btf: Option<PathBuf>,
    /// Time between two readings while calls are made.
    pub period: Duration,
    /// A series for each process (`attribution.per_process`).
    pub per_process: bool,
}
