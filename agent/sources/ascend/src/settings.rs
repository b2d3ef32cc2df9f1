//! Settings of the source.

use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::settings::textual::{optional, text};
use accelscope_core::settings::{Check, Enabled};
use accelscope_core::{settings, words};

/// Name of the source and of its section of the configuration.
pub(super) const NAME: &str = "ascend";

/// Age in periods at which readings expire; energy is integrated over gaps of at most twice that.
pub(super) const MAX_AGE_PERIODS: u32 = 6;

settings! {
    /// Huawei's Ascend NPUs, through libdcmi.so or npu-smi. Both take exclusive ownership of a card when a container calls
    /// them that the driver does not take for an administrator's; the agent calls neither there.
    pub struct Settings {
        /// "auto": look for NPUs, and be quiet where there are none. true: it is an error if it cannot run. false: do not
        /// look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Path of the tool, as this process sees it; "" means that it is searched for where the driver installs it.
        #[serde(with = "optional")]
        pub npu_smi: Option<PathBuf> = None,
        /// "auto": the library where it can be loaded, else the tool. "npu-smi" or "dcmi": only that.
        #[serde(with = "text")]
        pub backend: Backend = Backend::Auto,
        /// Duration, 1s to 1h: time between two readings. npu-smi takes a second when the driver is idle and ten when it is
        /// busy.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(10),
        /// Duration, 1s to 10m: longest time that all calls for one reading may take; then the tool is killed. Longer than the
        /// tool needs under load: a killed one has burdened the driver for nothing.
        #[serde(with = "text")]
        pub timeout: Duration = Duration::from_secs(30),
        /// Bool: ask only where the driver takes the container for an administrator's. false asks anyway and may take a card
        /// away from those who use it.
        pub require_admin: bool = true,
    }
}

/// Source of the readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// The library where it can be loaded, else the tool.
    #[default]
    Auto,
    /// The tool `npu-smi`.
    NpuSmi,
    /// The library `libdcmi.so`.
    Dcmi,
}

words!(Backend, "a way to ask", "auto" => Backend::Auto, "npu-smi" => Backend::NpuSmi, "dcmi" => Backend::Dcmi);

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        let second = Duration::from_secs(1);
        check.between("period", self.period, second, Duration::from_hours(1));
        check.between("timeout", self.timeout, second, Duration::from_mins(10));
    }
}
