//! Tables of ioctl commands of drivers without a source of their own.

pub(crate) mod drm_core;
pub(crate) mod drm_drivers;
pub(crate) mod small;

use accelscope_core::device::{CommandTable, Entry};

/// Commands by their type and number (`_IOC_TYPE` and `_IOC_NR`).
pub(crate) const fn table(kind: u8, entries: &'static [Entry]) -> CommandTable {
    CommandTable {
        mask: 0xffff,
        base: (kind as u32) << 8,
        entries,
    }
}
