//! Hailo's driver: `common/hailo_ioctl_common.h` of github.com/hailo-ai/hailort-drivers, compiled at each tag.
//!
//! Numbers and sizes change between versions and numbers are reused with another meaning, so that a command is
//! identified by its complete number together with the version.

#![forbid(unsafe_code)]

pub mod layout;
mod line;
mod table;

pub use self::layout::{Completed, FirmwareControl, HailoAbi, Launch, Layout, MarkInUse, Wait};
pub use self::line::{Line, Matched};

/// Commands that wait by design, with the reason.
pub const WAITING: &[(&str, &str)] = &[
    ("VDMA_INTERRUPTS_WAIT", "returns when the device has interrupted"),
    ("VDMA_CHANNEL_WAIT_INT", "returns when the device has interrupted"),
    (
        "READ_NOTIFICATION",
        "one call is parked for each open device until its firmware tells something",
    ),
    ("PCI_EP_ACCEPT", "returns when a client connects"),
];

/// Whether the command of that name waits by design.
pub fn waits(name: &str) -> bool {
    WAITING.iter().any(|(waiting, _)| *waiting == name)
}
