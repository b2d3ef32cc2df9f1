//! Families of accelerators' device nodes: recognition of their nodes, ioctl functions of their drivers, and names of
//! their commands. Each source declares the families of its vendor; the source of ioctls watches all of them.

mod arguments;
mod command;
mod derived_id;
mod hook;
mod node;
mod pattern;

pub use arguments::Arguments;
pub use command::{Command, CommandTable, Commands, Entry, Pattern, call, number, wait};
pub use derived_id::Derivation;
pub use hook::{Hook, HookRow, hook, row};
pub use node::{NodeKind, Requires};
pub use pattern::matches;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// A family of device nodes that take the same ioctls.
#[derive(Debug)]
pub struct DeviceFamily {
    /// The value of the attribute `accel.device.family`.
    pub name: &'static str,
    /// Kinds of its nodes.
    pub nodes: &'static [NodeKind],
    /// Ioctl functions of its drivers; the first row that matches a device applies.
    pub hooks: &'static [HookRow],
    /// Property on which the meaning of its command numbers depends.
    pub abi: Abi,
    /// Its commands.
    pub commands: Commands,
    /// Identification of its devices; if absent, by their PCI address without an `hw.id`.
    pub identity: Option<Identity>,
    /// Values read from the arguments of its commands; none if absent.
    pub arguments: Option<&'static Arguments>,
    /// Whether that node has a command with an argument that begins with the number of the wrapped command.
    pub wraps_commands: fn(node: &str) -> bool,
}

/// Property on which the meaning of a family's command numbers depends, besides the node's name.
#[derive(Debug, Clone, Copy)]
pub enum Abi {
    /// None.
    Fixed,
    /// The name of the driver in sysfs, such as `amdgpu`.
    DriverName,
    /// The version of the driver.
    DriverVersion(Versions),
}

/// Evaluation of driver versions.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    /// Problem of a version in the configuration, if any.
    pub fault: fn(version: &str) -> Option<String>,
    /// Version assumed for the names of commands if the driver's own is unknown.
    pub substitute: fn(version: Option<&str>) -> Option<String>,
}

/// Identification of a family's devices.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Address of the device with that class directory in sysfs.
    pub address: fn(directory: &Path) -> Option<String>,
    /// `hw.id` from address, machine id and node name.
    pub hw_id: fn(address: &str, machine_id: &str, node_name: &str) -> String,
}

impl DeviceFamily {
    /// A family without nodes, hooks and commands, for a constant with `..`.
    pub const fn named(name: &'static str) -> Self {
        Self {
            name,
            nodes: &[],
            hooks: &[],
            abi: Abi::Fixed,
            commands: Commands::NONE,
            identity: None,
            arguments: None,
            wraps_commands: |_| false,
        }
    }

    /// Candidates for a device's hook by decreasing likelihood; empty if the driver is not published. They are
    /// alternatives: at most one may be attached, since an outer function calls the inner.
    pub fn hooks(&self, driver: Option<&str>, node: &str) -> &'static [Hook] {
        let row = self.hooks.iter().find(|row| row.fits(driver, node));
        row.map_or(&[], |row| row.hooks)
    }

    /// Name and kind of `command` for the device; its number if it has no name.
    pub fn describe(&self, abi: Option<&str>, node: &str, command: u32) -> Command {
        self.commands
            .describe(abi, node, command)
            .unwrap_or_else(|| number(command))
    }

    /// Commands of a device that wait by design.
    pub fn waiting(&self, abi: Option<&str>, node: &str) -> Vec<Pattern> {
        self.commands.waiting(abi, node)
    }
}

impl fmt::Display for DeviceFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for DeviceFamily {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for DeviceFamily {}

impl Hash for DeviceFamily {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl PartialOrd for DeviceFamily {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DeviceFamily {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name.cmp(other.name)
    }
}
