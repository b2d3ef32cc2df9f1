//! Paths of the host's file systems as this process sees them, and readers of them.
//!
//! All readers take a [`HostRoots`] for `/proc`, `/sys`, `/dev` etc., so that they run on a fake tree in tests and on
//! `/host/...` in a container.

pub mod answering;
pub mod authority;
pub mod beneath;
mod boot;
pub mod bounded;
pub mod callers;
pub mod cgroups;
pub mod descriptors;
pub mod lives;
mod machine;
pub mod memory;
pub mod mounts;
mod node;
pub mod poll;
pub mod process;
mod signals;
pub mod stuck;
pub mod sysfs;
pub mod user_namespace;
pub mod writer;

pub use signals::is_hangup_ignored;

use std::path::{Path, PathBuf};

/// The host's root directory as this process sees it (`host.root`).
#[derive(Debug, Clone)]
pub struct HostRoots {
    root: PathBuf,
}

impl HostRoots {
    /// `root` is `/` on the host itself, the mount point of the host's root in a container.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The host's `absolute` path, as seen from here.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// The host's `/proc`.
    pub fn proc(&self) -> PathBuf {
        self.path("/proc")
    }

    /// The host's `/dev`.
    pub fn dev(&self) -> PathBuf {
        self.path("/dev")
    }

    /// The host's `/sys`.
    pub fn sys(&self) -> PathBuf {
        self.path("/sys")
    }
}
