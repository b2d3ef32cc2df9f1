//! Names of ioctl commands, and which of them wait by design.

use std::borrow::Cow;

/// What a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name without the vendor's prefix, or its number (`0x40206700`) where it has no known name.
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

/// The commands of a family.
#[derive(Debug, Clone, Copy)]
pub enum Commands {
    /// Tables by ABI and node, none of whose entries overlap.
    Tables(fn(abi: Option<&str>, node: &str) -> [Option<CommandTable>; 2]),
    /// Numbers whose meaning changes with the version of the driver.
    Versioned {
        /// The name of a command at a version of the driver, and whether it waits by design.
        describe: fn(version: Option<&str>, command: u32) -> Option<Command>,
        /// The commands that wait by design.
        waiting: fn(version: Option<&str>) -> Vec<Pattern>,
    },
}

impl Commands {
    /// They are not published, or a tracer cannot tell them apart.
    pub const NONE: Self = Self::Tables(|_, _| [None, None]);

    /// What `command` is, where it has a name.
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
    /// Its number, without the table's base.
    pub number: u32,
    /// Its name without the vendor's prefix.
    pub name: &'static str,
    /// Why it waits, if it does so by design.
    pub wait: Option<&'static str>,
}

/// A command that returns when it has done its work.
pub const fn call(number: u32, name: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: None,
    }
}

/// A command that waits by design, and why.
pub const fn wait(number: u32, name: &'static str, why: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: Some(why),
    }
}

/// Commands of one driver. Only the bits of `mask` distinguish them: a struct may have grown since.
#[derive(Debug, Clone, Copy)]
pub struct CommandTable {
    /// The bits that count.
    pub mask: u32,
    /// What all their numbers have in common.
    pub base: u32,
    /// The commands.
    pub entries: &'static [Entry],
}

impl CommandTable {
    /// The command, if the table has it.
    pub fn find(&self, command: u32) -> Option<Command> {
        let number = (command & self.mask).checked_sub(self.base)?;
        let entry = self.entries.iter().find(|entry| entry.number == number)?;
        Some(Command {
            name: entry.name.into(),
            wait: entry.wait.is_some(),
        })
    }

    /// Those that wait by design.
    pub fn waiting(self) -> impl Iterator<Item = Pattern> {
        let Self { mask, base, entries } = self;
        let waiting = entries.iter().filter(|entry| entry.wait.is_some());
        waiting.map(move |entry| Pattern {
            mask,
            value: base + entry.number,
        })
    }
}
