//! Devices that the configuration names (`ioctl.extra_devices`).

use std::path::PathBuf;

use super::families::Family;

/// A node to watch beside those that are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Its path on the host.
    pub path: PathBuf,
    /// Whose ioctls it takes; nothing for what is found out, the family `other` where nothing is.
    pub family: Option<Family>,
    /// What decides the meaning of its commands, as [`super::Device::abi`] has it.
    pub abi: Option<String>,
}
