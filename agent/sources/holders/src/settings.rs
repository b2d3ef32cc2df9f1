//! Settings of the source.

use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(super) const NAME: &str = "holders";

settings! {
    /// What the containers and units that hold an accelerator wait for: their CPU quota, a CPU, memory or I/O.
    pub struct Settings {
        /// "auto" or true: read the control groups of those that hold an accelerator by what the other sources see; nothing is
        /// read while nobody does. false: do not read them.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Duration, 1s to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(10),
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between("period", self.period, Duration::from_secs(1), Duration::from_hours(1));
    }
}
