//! The kinds of hooks by which calls are seen: what the configuration names and the kernel may refuse.

use std::fmt;

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
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
