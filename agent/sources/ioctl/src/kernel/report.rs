//! Which hooks are in use, and what the kernel refused.

use super::hierarchy::V1;
use crate::HookKind;

/// Why a better hook is not in use, or something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The hook that it keeps from use; nothing where it concerns all of them.
    pub hook: Option<HookKind>,
    /// What was refused and why, the kernel's error included.
    pub what: String,
    /// What would give more.
    pub remedy: String,
}

/// How a driver's devices are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The kernel module, or the family of devices that tell none.
    pub name: String,
    /// Names of its devices that are watched.
    pub devices: Vec<String>,
    /// The hook in use.
    pub hook: HookKind,
    /// The function that is hooked, where one is.
    pub symbol: Option<String>,
    /// What keeps it from a better hook.
    pub obstacles: Vec<Obstacle>,
}

/// Which hook is in use for which driver, and what the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// One a driver; empty while no device is watched.
    pub drivers: Vec<Driver>,
    /// What concerns them all.
    pub obstacles: Vec<Obstacle>,
    /// Where the kernel's structures are known from: `kernel BTF`, the file's path, or `calibration`.
    pub offsets: Option<String>,
    /// The v1 hierarchy of control groups whose ids keys carry; nothing where containers are in the unified one.
    pub v1: Option<V1>,
}
