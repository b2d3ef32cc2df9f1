//! Kinds of kernel hooks by which ioctl calls are counted.

use std::fmt;

/// A kind of hook as `ioctl.hooks` names it. Ordered by preference: the cheapest for the observed calls comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookKind {
    /// `fentry` and `fexit` on the driver's own function.
    Fentry,
    /// A kprobe and a kretprobe on the driver's own function.
    Kprobe,
    /// The tracepoints `syscalls:sys_enter_ioctl` and `sys_exit_ioctl`.
    Tracepoint,
    /// The raw tracepoints `sys_enter` and `sys_exit`, which slow down every system call of the machine. Only used if
    /// the configuration names it, or on a kernel where the others lose calls.
    RawTracepoint,
    /// No hook: only the holders of devices are known, from `/proc`; calls are not counted.
    Scan,
}

impl HookKind {
    /// All kinds in order of preference.
    pub const ALL: [Self; 5] = [
        Self::Fentry,
        Self::Kprobe,
        Self::Tracepoint,
        Self::RawTracepoint,
        Self::Scan,
    ];

    /// Name in `ioctl.hooks`.
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

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
