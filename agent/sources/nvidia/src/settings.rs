//! Settings of the source.

use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::{optional, text};
use accelscope_core::settings::{Check, Enabled};

settings! {
    /// NVIDIA's GPUs, through libnvidia-ml.so.1 (NVML) in a process of its own.
    pub struct Settings {
        /// "auto": look for GPUs, and be quiet where there are none. true: it is an error if it cannot run. false: do not
        /// look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Path of libnvidia-ml.so.1, as this process sees it; "" means that it is searched for where the driver's packages,
        /// the container toolkit, the GPU operator and GKE put it.
        #[serde(with = "optional")]
        pub library: Option<PathBuf> = None,
        /// Duration, 1s to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(5),
        /// Reserved: path of nvidia-smi. Nothing uses it yet.
        #[serde(with = "optional")]
        pub nvidia_smi: Option<PathBuf> = None,
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between("period", self.period, Duration::from_secs(1), Duration::from_hours(1));
        if self.nvidia_smi.is_some() {
            check.warn(
                "nvidia_smi",
                "is reserved and does nothing yet, NVML is asked: remove it",
            );
        }
    }
}
