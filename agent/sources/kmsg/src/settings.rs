//! Settings of the source.

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(crate) const NAME: &str = "kmsg";

settings! {
    /// Faults of accelerators that the kernel's log tells: XIDs, PCIe errors, hangs, resets. It is read from /dev/kmsg.
    pub struct Settings {
        /// "auto": read the log where there is an accelerator and the agent may (root or CAP_SYSLOG, and the right to open the
        /// device), and be quiet elsewhere. true: it is an error if it cannot be read. false: do not read it.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, _: &mut Check) {}
}
