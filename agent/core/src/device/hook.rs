//! Ioctl functions of drivers: a probe there costs nothing for other devices and other system calls.

use super::matches;

/// A driver's own `unlocked_ioctl`, with the signature `long (struct file *, unsigned int, unsigned long)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// Name of its module as in `/sys/module`. A built-in driver has the symbol in the kernel itself.
    pub module: &'static str,
    /// Name of the symbol. A static function may be missing, or renamed by the compiler. Where the name is from public
    /// sources of some version, other versions may differ.
    pub symbol: &'static str,
}

/// Hooks of some nodes of a family.
#[derive(Debug)]
pub struct HookRow {
    /// Names of devices, as patterns of [`NodeKind::nodes`](super::NodeKind::nodes).
    pub names: &'static [&'static str],
    /// The driver's name in sysfs; any if empty.
    pub driver: &'static str,
    /// Candidates by decreasing likelihood.
    pub hooks: &'static [Hook],
}

impl HookRow {
    pub(super) fn fits(&self, driver: Option<&str>, node: &str) -> bool {
        let node = node.as_bytes();
        (self.driver.is_empty() || Some(self.driver) == driver)
            && self.names.iter().any(|pattern| matches(pattern.as_bytes(), node))
    }
}

/// A hook.
pub const fn hook(module: &'static str, symbol: &'static str) -> Hook {
    Hook { module, symbol }
}

/// Hooks of the driver of that name, any if empty, for the devices of these names.
pub const fn row(names: &'static [&'static str], driver: &'static str, hooks: &'static [Hook]) -> HookRow {
    HookRow { names, driver, hooks }
}
