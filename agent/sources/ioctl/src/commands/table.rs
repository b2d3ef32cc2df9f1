//! Tables of commands, and how a command is found in one.

use super::{Command, Pattern};

/// A command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its number, without the table's base.
    pub(super) number: u32,
    pub(super) name: &'static str,
    /// Why it waits, if it does so by design.
    pub(super) wait: Option<&'static str>,
}

/// A command that returns when it has done its work.
pub(super) const fn call(number: u32, name: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: None,
    }
}

/// A command that waits by design, and why.
pub(super) const fn wait(number: u32, name: &'static str, why: &'static str) -> Entry {
    Entry {
        number,
        name,
        wait: Some(why),
    }
}

/// Commands of one driver. Only the bits of `mask` tell them apart: a struct may have grown since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) mask: u32,
    /// What all their numbers have in common.
    pub(super) base: u32,
    pub(super) entries: &'static [Entry],
}

impl Table {
    /// The command, if it stands here.
    pub(super) fn find(&self, command: u32) -> Option<Command> {
        let number = (command & self.mask).checked_sub(self.base)?;
        let entry = self.entries.iter().find(|entry| entry.number == number)?;
        Some(Command {
            name: entry.name.into(),
            wait: entry.wait.is_some(),
        })
    }

    /// Those that wait by design.
    pub(super) fn waiting(self) -> impl Iterator<Item = Pattern> {
        let Self { mask, base, entries } = self;
        let waiting = entries.iter().filter(|entry| entry.wait.is_some());
        waiting.map(move |entry| Pattern {
            mask,
            value: base + entry.number,
        })
    }
}
