//! Which hooks are in use, and what the kernel refused.

use std::fmt;

use super::hierarchy::V1;

/// A kind of hook: a rung of the ladder, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rung {
    /// `fentry` and `fexit` on the driver's own function.
    Fentry,
    /// A kprobe and a kretprobe on the driver's own function.
    Kprobe,
    /// The tracepoints `syscalls:sys_enter_ioctl` and `sys_exit_ioctl`.
    Tracepoint,
    /// The raw tracepoints `sys_enter` and `sys_exit`, which cost every system call of the machine. Only if forced.
    RawTracepoint,
    /// No hook: who holds which device is read from `/proc`, and no call is seen.
    Scan,
}

impl Rung {
    /// Each of them, the best first.
    pub const ALL: [Self; 5] = [
        Self::Fentry,
        Self::Kprobe,
        Self::Tracepoint,
        Self::RawTracepoint,
        Self::Scan,
    ];

    /// Its name in `ioctl.hooks`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::RawTracepoint => "raw_tracepoint",
            Self::Scan => "scan",
        }
    }

    /// The rung of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.as_str() == name)
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a better rung is not in use, or something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The rung that it keeps from use; nothing where it concerns all of them.
    pub rung: Option<Rung>,
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
    /// The rung in use.
    pub rung: Rung,
    /// The function that is hooked, where one is.
    pub symbol: Option<String>,
    /// What keeps it from a better rung.
    pub obstacles: Vec<Obstacle>,
}

/// Which rung is in use for which driver, and what the kernel refused.
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
