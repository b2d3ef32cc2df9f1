//! The hooks in use, and what the kernel refused.

use crate::Device;
use crate::HookKind;
use accelscope_core::sampler::Finding;

/// How the devices of a driver are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The kernel module, or the device family if the module is unknown.
    pub name: String,
    /// Names of the watched devices.
    pub devices: Vec<String>,
    /// The kind of hook in use.
    pub hook: HookKind,
    /// The hooked function, if a function is hooked.
    pub symbol: Option<String>,
    /// Why no better hook is in use, including the kernel's error.
    pub obstacles: Vec<Finding>,
    /// Calls that the hook does not see or may lose, and why.
    pub unseen: Vec<String>,
    /// Whether calls of 32-bit programs are seen.
    pub sees_compat: bool,
}

impl Driver {
    /// The driver of this device, as yet without a hook.
    pub(super) fn unhooked(device: &Device) -> Self {
        Self {
            name: driver_name(device).to_owned(),
            devices: vec![device.name.clone()],
            hook: HookKind::Scan,
            symbol: None,
            obstacles: Vec::new(),
            unseen: Vec::new(),
            sees_compat: true,
        }
    }
}

/// [`Driver::name`] of a device's driver.
pub(super) fn driver_name(device: &Device) -> &str {
    device.module.as_deref().unwrap_or(device.family.name)
}

/// The hooks in use for each driver, and what the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// One for each driver; empty while no device is watched.
    pub drivers: Vec<Driver>,
    /// Obstacles that concern all drivers.
    pub obstacles: Vec<Finding>,
    /// Source of the offsets of kernel structures: `kernel BTF`, the path of a file, or `calibration`.
    pub offsets: Option<String>,
}

impl Report {
    /// The driver by which calls of the device of this name are counted; none where they are not.
    pub(crate) fn counting(&self, device: &str) -> Option<&Driver> {
        let mut hooked = self.drivers.iter().filter(|driver| driver.hook != HookKind::Scan);
        hooked.find(|driver| driver.devices.iter().any(|name| name == device))
    }
}
