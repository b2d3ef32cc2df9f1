//! Names of ioctl commands, and which of them wait by design.

use std::borrow::Cow;

/// Name and kind of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Name without the vendor's prefix, or the number (`0x40206700`) if the name is unknown.
    pub name: Cow<'static, str>,
    /// Whether it waits by design, so that a long call does not count as hung.
    pub wait: bool,
}

/// Commands, matched by the bits of their number that the driver evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Mask of the compared bits.
    pub mask: u32,
    /// Value of the compared bits.
    pub value: u32,
}

impl Pattern {
    /// Whether `command` matches.
    pub const fn matches(self, command: u32) -> bool {
        command & self.mask == self.value
    }
}

/// The commands of a family.
#[derive(Debug, Clone, Copy)]
pub enum Commands {
    /// Tables by ABI and node. Their entries do not overlap.
    Tables(fn(abi: Option<&str>, node: &str) -> [Option<CommandTable>; 2]),
    /// Numbers with meanings that depend on the driver's version.
    Versioned {
        /// Name of a command at a driver version, and whether it waits by design.
        describe: fn(version: Option<&str>, command: u32) -> Option<Command>,
        /// The commands that wait by design.
        waiting: fn(version: Option<&str>) -> Vec<Pattern>,
    },
}

impl Commands {
    /// No names: the commands are not published, or a tracer cannot distinguish them.
    pub const NONE: Self = Self::Tables(|_, _| [None, None]);

    /// Name and kind of `command`, if its name is known.
    pub(super) fn describe(self, abi: Option<&str>, node: &str, command: u32) -> Option<Command> {
        match self {
            Self::Tables(tables) => tables(abi, node)
                .into_iter()
                .flatten()
                .find_map(|table| table.find(command)),
            Self::Versioned { describe, .. } => describe(abi, command),
        }
    }

    /// The commands that wait by design.
    pub(super) fn waiting(self, abi: Option<&str>, node: &str) -> Vec<Pattern> {
        match self {
            Self::Tables(tables) => tables(abi, node)
                .into_iter()
                .flatten()
                .flat_map(CommandTable::waiting)
                .collect(),
            Self::Versioned { waiting, .. } => waiting(abi),
        }
    }
}

/// A command without a known name.
pub fn number(command: u32) -> Command {
    Command {
        name: format!("{command:#010x}").into(),
        wait: false,
    }
}

/// An entry of a table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Number without the table's base.
    pub number: u32,
    /// Name without the vendor's prefix.
    pub name: &'static str,
    /// Reason why it waits, if it does so by design.
    pub wait: Option<&'static str>,
}

/// A command that returns when its work is done.
pub const fn call(number: u32, name: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: None,
    }
}

/// A command that waits by design, with the reason.
pub const fn wait(number: u32, name: &'static str, why: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: Some(why),
    }
}

/// Commands of one driver. Only the bits of `mask` distinguish them: a struct's size may change between versions.
#[derive(Debug, Clone, Copy)]
pub struct CommandTable {
    /// Mask of the compared bits.
    pub mask: u32,
    /// Bits that all their numbers have in common.
    pub base: u32,
    /// The commands.
    pub entries: &'static [Entry],
}

impl CommandTable {
    /// The command, if it is in the table.
    pub fn find(&self, command: u32) -> Option<Command> {
        let number = (command & self.mask).checked_sub(self.base)?;
        let entry = self.entries.iter().find(|entry| entry.number == number)?;
        Some(Command {
            name: entry.name.into(),
            wait: entry.wait.is_some(),
        })
    }

    /// Commands that wait by design.
    pub fn waiting(self) -> impl Iterator<Item = Pattern> {
        let Self { mask, base, entries } = self;
        let waiting = entries.iter().filter(|entry| entry.wait.is_some());
        waiting.map(move |entry| Pattern {
            mask,
            value: base + entry.number,
        })
    }
}
