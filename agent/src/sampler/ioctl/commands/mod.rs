//! Names of ioctl commands, and which of them wait by design.

pub mod hailo;

use std::borrow::Cow;

use super::family::Family;

/// What a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name without the vendor's prefix, or its number (`0x40206700`) where it has none here.
    pub name: Cow<'static, str>,
    /// Whether it waits by design, so that a long call of it is no hung one.
    pub wait: bool,
}

/// Commands by those bits of their number that the driver looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Which bits count.
    pub mask: u32,
    /// Their value.
    pub value: u32,
}

impl Pattern {
    /// Whether `command` is one of them.
    pub const fn matches(self, command: u32) -> bool {
        command & self.mask == self.value
    }
}

/// What `command` is to the device. `abi` is [`Device::abi`](super::Device::abi), `name` its name.
pub fn describe(family: Family, abi: Option<&str>, name: &str, command: u32) -> Command {
    let _ = name;
    match family {
        Family::Hailo => hailo::describe(abi, command),
        _ => number(command),
    }
}

/// The commands of a device that wait by design.
pub fn waiting(family: Family, abi: Option<&str>, name: &str) -> Vec<Pattern> {
    let _ = name;
    match family {
        Family::Hailo => hailo::waiting(abi),
        _ => Vec::new(),
    }
}

/// A command that has no name here.
pub(super) fn number(command: u32) -> Command {
    Command {
        name: format!("{command:#010x}").into(),
        wait: false,
    }
}
