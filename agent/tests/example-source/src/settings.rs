//! Settings of the source.

use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

settings! {
    /// NPUs of Acme.
    pub struct Settings {
        /// "auto": look for NPUs, and be quiet where there are none. true: it is an error if it cannot run. false: do not
        /// look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Duration, 1s to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(1),
        /// Bool: also read the counter of jobs, which takes a millisecond.
        pub jobs: bool = true,
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
