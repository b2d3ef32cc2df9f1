//! Families of accelerators' device nodes: how a node is recognised, which functions of its driver take its ioctls, and
//! what those are called. Each source declares the families of its vendor; the source of ioctls watches all of them.

mod arguments;
mod command;
mod hook;
mod node;
mod pattern;

pub use arguments::Arguments;
pub use command::{Command, CommandTable, Commands, Entry, Pattern, call, number, wait};
pub use hook::{Evidence, Hook, HookRow, public, source};
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
    /// How its nodes are recognised.
    pub nodes: &'static [NodeKind],
    /// The functions of its drivers that take ioctls; the first row that fits a device is taken.
    pub hooks: &'static [HookRow],
    /// What decides the meaning of its command numbers.
    pub abi: Abi,
    /// Its commands.
    pub commands: Commands,
    /// How its devices are identified; by their PCI address, without an `hw.id`, if absent.
    pub identity: Option<Identity>,
    /// What is read from the arguments of its commands; nothing if absent.
    pub arguments: Option<&'static Arguments>,
    /// Whether that node has a command whose argument begins with the number of the command proper.
    pub wraps_commands: fn(node: &str) -> bool,
}

/// What decides the meaning of a family's command numbers, apart from the node's name.
#[derive(Debug, Clone, Copy)]
pub enum Abi {
    /// Nothing.
    Fixed,
    /// The name of the driver in sysfs, such as `amdgpu`.
    DriverName,
    /// The version of the driver.
    DriverVersion(Versions),
}

/// Versions of a driver.
#[derive(Debug, Clone, Copy)]
pub struct Versions {
    /// What is wrong with a version that a user wrote, if anything.
    pub fault: fn(version: &str) -> Option<String>,
    /// The version whose commands are assumed where the driver's own is unknown.
    pub substitute: fn(version: Option<&str>) -> Option<String>,
}

/// How the devices of a family are identified.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The address of the device with that class directory in sysfs.
    pub address: fn(directory: &Path) -> Option<String>,
    /// `hw.id` from address, machine id and node name.
    pub hw_id: fn(address: &str, machine_id: &str, node_name: &str) -> String,
}

impl DeviceFamily {
    /// A family by its name, for a constant with `..`: nothing is known of its nodes, hooks and commands.
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

    /// Candidates for hooks of a device, the likeliest first; empty where the driver is not published. They are
    /// alternatives: at most one is to be attached, since an outer function calls the inner.
    pub fn hooks(&self, driver: Option<&str>, node: &str) -> &'static [Hook] {
        let row = self.hooks.iter().find(|row| row.fits(driver, node));
        row.map_or(&[], |row| row.hooks)
    }

    /// What `command` is to the device; its number where it has no name.
    pub fn describe(&self, abi: Option<&str>, node: &str, command: u32) -> Command {
        self.commands
            .describe(abi, node, command)
            .unwrap_or_else(|| number(command))
    }

    /// The commands of a device that wait by design.
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
