//! Devices that the configuration names (`ioctl.extra_devices`).

use std::path::PathBuf;

use super::families::Family;

/// A node to watch in addition to those that are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Its path on the host.
    pub path: PathBuf,
    /// Its family; if absent, the one that the scan finds, else `other`.
    pub family: Option<Family>,
    /// [`Device::abi`](super::Device::abi).
    pub abi: Option<String>,
}
