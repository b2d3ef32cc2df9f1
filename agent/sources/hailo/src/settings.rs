//! Settings of the source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::directory::IN_ROOT;
use accelscope_core::settings;
use accelscope_core::settings::textual::{optional, text};
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(super) const NAME: &str = "hailo";

settings! {
    /// Hailo accelerators. HailoRT writes its monitor files only for applications that were started with HAILO_MONITOR=1.
    pub struct Settings {
        /// "auto": look for devices and files, and be quiet where there are none. true: it is an error if it cannot run.
        /// false: do not look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Path of the host: where HailoRT writes its monitor files (a fixed place in HailoRT).
        #[serde(with = "text")]
        pub dir: PathBuf = "/tmp/hmon_files".into(),
        /// Bool: also look into /tmp/hmon_files of every container whose processes hold a Hailo device open, so that pods need
        /// no shared mount. Needs the host's PID namespace.
        pub discover: bool = true,
        /// Duration: age from which the values of a file are no longer shown. "" means three write intervals, at least 5 s:
        /// that of HAILO_MONITOR_TIME_INTERVAL in its writer's environment, or that of its past writes if it is longer.
        #[serde(with = "optional")]
        pub max_age: Option<Duration> = None,
        /// Duration: shortest time between two readings that are passed on. Frames of every write are counted all the same.
        #[serde(with = "text")]
        pub min_interval: Duration = Duration::from_secs(1),
    }
}

impl Settings {
    /// Paths at which a writer may see the directory of its file.
    pub(crate) fn seen_as(&self) -> Vec<PathBuf> {
        vec![self.dir.clone(), Path::new("/").join(IN_ROOT)]
    }
}

impl settings::Settings for Settings {
    fn enabled(&self) -> Enabled {
        self.enabled
    }

    fn validate(&self, check: &mut Check) {
        check.between(
            "min_interval",
            self.min_interval,
            Duration::ZERO,
            Duration::from_hours(1),
        );
        if let Some(age) = self.max_age {
            check.between("max_age", age, Duration::from_millis(1), Duration::from_hours(24));
        }
        check.absolute("dir", &self.dir);
    }
}
