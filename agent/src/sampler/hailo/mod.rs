//! Hailo: the monitor files of HailoRT and the devices in sysfs.

use std::path::PathBuf;
use std::time::Duration;

/// The sampler's settings (`[hailo]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the monitor files, as a path of the host.
    pub dir: PathBuf,
    /// Also look into the mount namespaces of processes that hold a Hailo device open.
    pub discover: bool,
    /// Age from which a file's values are no longer shown; three of its write intervals, at least 5 s, if absent.
    pub max_age: Option<Duration>,
    /// Shortest time between two readings that are handed on. Every write is counted all the same.
    pub min_interval: Duration,
}
