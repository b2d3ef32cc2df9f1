//! Settings of the source.

use std::time::Duration;

use accelscope_core::energy::Idle;
use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(super) const NAME: &str = "power";

settings! {
    /// Energy, power and sensors of the node: RAPL, hwmon, thermal zones, batteries and mains.
    pub struct Settings {
        /// "auto": read what there is, and be quiet where there is nothing. true: it is an error if there is nothing. false: do
        /// not look.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Duration, 1s to 1h: time between two readings. Counters of RAPL that wrap sooner are read in between.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(10),
        /// Bool: energy and power of the processors' packages and of the memory (RAPL). Needs root or CAP_DAC_READ_SEARCH.
        pub rapl: bool = true,
        /// Bool: sensors of /sys/class/hwmon, those of accelerators aside.
        pub hwmon: bool = true,
        /// Bool: the temperature of each core too, and not only of each package; and its energy, where amd_energy has it and there
        /// is one socket. Each reading wakes its core.
        pub cores: bool = false,
        /// Bool: thermal zones.
        pub thermal: bool = true,
        /// Bool: batteries, uninterruptible supplies and mains of /sys/class/power_supply; not those of mice and the like.
        pub supplies: bool = true,
        /// Bool: divide the energy of processors, memory and accelerators among containers, pods and units
        /// (accel.energy.attributed).
        pub attributed: bool = true,
        /// Whose the energy of idle hardware is. "unattributed": nobody's. "proportional": that of those who use the hardware.
        #[serde(with = "text")]
        pub idle: Idle = Idle::default(),
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
