//! Settings of the source.

use std::time::Duration;

use accelscope_core::settings;
use accelscope_core::settings::textual::text;
use accelscope_core::settings::{Check, Enabled};

/// Name of the source and of its section of the configuration.
pub(crate) const NAME: &str = "host";

settings! {
    /// The host itself: CPU, load, memory, swap, uptime and pressure. Disks, file systems and network are off by default,
    /// since most nodes have an exporter for them.
    pub struct Settings {
        /// "auto": read the host's /proc, and be quiet where it is not there. true: it is an error if it cannot be read.
        /// false: do not read it.
        #[serde(with = "text")]
        pub enabled: Enabled = Enabled::Auto,
        /// Duration, 1s to 1h: time between two readings.
        #[serde(with = "text")]
        pub period: Duration = Duration::from_secs(10),
        /// Bool: also read bytes, operations and times of block devices (`system.disk.*`), without partitions, memory
        /// (ram, zram), loop devices and the hidden paths of multipath NVMe.
        pub disks: bool = false,
        /// Bool: also read the space of the mounted file systems (`system.filesystem.*`) that store something of their own:
        /// without those of the kernel, of memory (tmpfs), images (squashfs) and overlays.
        pub filesystems: bool = false,
        /// Bool: also read bytes, packets, drops and errors of network interfaces (`system.network.*`) that stand for
        /// hardware: without bridges, bonds, VLANs, tunnels and the ends of containers' interfaces. Where none does, as in a
        /// container of LXC, all but lo.
        pub network: bool = false,
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
