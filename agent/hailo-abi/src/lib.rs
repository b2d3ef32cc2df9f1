//! Hailo's driver: `common/hailo_ioctl_common.h` of github.com/hailo-ai/hailort-drivers, compiled at each tag.
//!
//! Numbers and sizes change between versions and numbers are reused with another meaning, so that a command is
//! identified by its complete number together with the version.

#![forbid(unsafe_code)]

pub mod layout;
mod line;
mod table;

pub use self::layout::{Launch, Layout};
pub use self::line::{Line, Matched};

/// Whether the command of that name waits by design.
pub fn waits(name: &str) -> bool {
    matches!(
        name,
        // Return when the device has interrupted.
        "VDMA_INTERRUPTS_WAIT" | "VDMA_CHANNEL_WAIT_INT"
        // One call is parked for each open device until its firmware reports something.
        | "READ_NOTIFICATION"
        // Returns when a client connects.
        | "PCI_EP_ACCEPT"
    )
}
