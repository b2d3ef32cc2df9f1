//! Settings of the source.

use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

settings! {
    /// The server's management controller (BMC) through the kernel's IPMI driver: power, sensors, chassis status, event log.
    pub struct Settings {
        /// "auto": look for /dev/ipmi0, and be quiet where it is missing, has no driver or may not be opened. true: it is an
        /// error if it cannot be read. false: do not look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Duration, 1s to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(30),
        /// Duration, 1s to 5m: time for one reading. What a slow BMC does not answer in it is asked in the next one.
        #[serde(with = "text")]
        pub timeout: Duration = Duration::from_secs(20),
        /// Bool: read the BMC's sensors too, which takes most of the time. false: power of the server, chassis status and
        /// event log only.
        pub sensors: bool = true,
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between("period", self.period, Duration::from_secs(1), Duration::from_hours(1));
        check.between("timeout", self.timeout, Duration::from_secs(1), Duration::from_mins(5));
    }
}
