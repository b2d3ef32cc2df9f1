//! One device node.

use std::path::PathBuf;

use accelscope_core::device::{Abi, Command, Hook};

use super::families::Family;

/// A device node that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its number as `st_rdev` has it (glibc's encoding, not the kernel's `dev_t`): see [`major`](Self::major).
    pub number: u64,
    /// Name of its node or class device (`renderD128`), with its folder where the name alone is not unique
    /// (`tenstorrent/0`).
    pub name: String,
    /// Its family, which decides the meaning of its ioctls.
    pub family: Family,
    /// The kernel module that drives it, e.g. `amdgpu`; absent where the driver is built in or not in sysfs.
    pub module: Option<String>,
    /// What decides the meaning of its command numbers, see [`Abi`]: the version (`4.20.0`) or the name (`amdgpu`) of the
    /// driver.
    pub abi: Option<String>,
    /// Version of its driver, where sysfs has one.
    pub driver_version: Option<String>,
    /// Address on its bus, e.g. `0000:01:00.0`, or `[integrated]`.
    pub address: Option<String>,
    /// `hw.id`, where it is known without asking the device.
    pub hw_id: Option<String>,
    /// Its node as a path of the host; nothing where only sysfs shows it.
    pub node: Option<PathBuf>,
    /// Whether its family is only known from the configuration (`ioctl.extra_devices`), so that its driver is not known.
    pub extra: bool,
}

impl Device {
    /// Its major number.
    pub fn major(&self) -> u32 {
        rustix::fs::major(self.number)
    }

    /// Its minor number.
    pub fn minor(&self) -> u32 {
        rustix::fs::minor(self.number)
    }

    /// Its number as the kernel has it in memory (`dev_t` of `include/linux/kdev_t.h`: 12 bits major, 20 bits minor).
    pub fn kernel_number(&self) -> u32 {
        (self.major() << 20) | (self.minor() & 0x000f_ffff)
    }

    /// The functions of its driver that take its ioctls, the likeliest first.
    pub fn hooks(&self) -> &'static [Hook] {
        if self.extra {
            return &[];
        }
        self.family.hooks(self.abi.as_deref(), &self.name)
    }

    /// Driver version that is assumed for the names of commands because the driver's own is unknown; `None` if it is
    /// known, or has no effect.
    pub fn assumed_version(&self) -> Option<String> {
        match self.family.abi {
            Abi::DriverVersion(versions) => (versions.substitute)(self.abi.as_deref()),
            Abi::Fixed | Abi::DriverName => None,
        }
    }

    /// What a command means to it.
    pub fn describe(&self, command: u32) -> Command {
        self.family.describe(self.abi.as_deref(), &self.name, command)
    }
}
