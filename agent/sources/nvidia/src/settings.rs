//! What can be set.

use std::path::PathBuf;
use std::time::Duration;

/// The sampler's settings (`[nvidia]`).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Path of `libnvidia-ml.so.1` as this process sees it; searched for if absent.
    pub library: Option<PathBuf>,
    /// Time between two readings.
    pub period: Duration,
}

impl Default for Settings {
    /// Every 5 s.
    fn default() -> Self {
        Self {
            library: None,
            period: Duration::from_secs(5),
        }
    }
}
