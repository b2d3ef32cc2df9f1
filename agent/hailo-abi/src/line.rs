//! Versions of the driver that share their numbers and layouts.

use std::fmt;

use super::table::COMMANDS;

/// Versions of the driver that share every command's number, named after the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    /// 4.6.0
    V4_6,
    /// 4.10.0
    V4_10,
    /// 4.14.0 to 4.16.0
    V4_14,
    /// 4.17.0
    V4_17,
    /// 4.18.0
    V4_18,
    /// 4.19.0 to 4.20.1
    V4_19,
    /// 4.21.0 and 4.22.0
    V4_21,
    /// 4.23.0
    V4_23,
    /// 5.0.0
    V5_0_0,
    /// 5.0.1
    V5_0_1,
    /// 5.1.0
    V5_1_0,
    /// 5.1.1 and 5.2.0
    V5_1_1,
    /// 5.3.0
    V5_3,
}

/// A version of the driver: major, minor, patch.
type Version = (u32, u32, u32);

/// Versions with a compiled header, and their lines.
const KNOWN: &[(Version, Line)] = &[
    ((4, 6, 0), Line::V4_6),
    ((4, 10, 0), Line::V4_10),
    ((4, 14, 0), Line::V4_14),
    ((4, 15, 0), Line::V4_14),
    ((4, 16, 0), Line::V4_14),
    ((4, 17, 0), Line::V4_17),
    ((4, 18, 0), Line::V4_18),
    ((4, 19, 0), Line::V4_19),
    ((4, 20, 0), Line::V4_19),
    ((4, 20, 1), Line::V4_19),
    ((4, 21, 0), Line::V4_21),
    ((4, 22, 0), Line::V4_21),
    ((4, 23, 0), Line::V4_23),
    ((5, 0, 0), Line::V5_0_0),
    ((5, 0, 1), Line::V5_0_1),
    ((5, 1, 0), Line::V5_1_0),
    ((5, 1, 1), Line::V5_1_1),
    ((5, 2, 0), Line::V5_1_1),
    ((5, 3, 0), Line::V5_3),
];

/// The line for a version string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// The line.
    pub line: Line,
    /// Whether exactly that version was compiled. If not, the nearest older one is used, names and layouts may be
    /// wrong, and the caller must report it to the user.
    pub exact: bool,
}

impl Line {
    /// The newest known line.
    pub const NEWEST: Self = Self::V5_3;

    /// All lines, the oldest first.
    pub const ALL: [Self; 13] = [
        Self::V4_6,
        Self::V4_10,
        Self::V4_14,
        Self::V4_17,
        Self::V4_18,
        Self::V4_19,
        Self::V4_21,
        Self::V4_23,
        Self::V5_0_0,
        Self::V5_0_1,
        Self::V5_1_0,
        Self::V5_1_1,
        Self::V5_3,
    ];

    /// The line of a driver version in the form of `/sys/module/hailo_pci/version`: that of the nearest known version
    /// that is not newer. `None` if it is no version.
    pub fn of(version: &str) -> Option<Matched> {
        let version = parse(version)?;
        let older = KNOWN.iter().rev().find(|(known, _)| *known <= version);
        let (known, line) = older.or_else(|| KNOWN.first())?;
        Some(Matched {
            line: *line,
            exact: *known == version,
        })
    }

    /// Name of a command.
    pub fn name(self, command: u32) -> Option<&'static str> {
        let mut commands = self.commands();
        commands.find_map(|(name, value)| (value == command).then_some(name))
    }

    /// Number of a command.
    pub fn command(self, name: &str) -> Option<u32> {
        let mut commands = self.commands();
        commands.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All commands of the line.
    pub fn commands(self) -> impl Iterator<Item = (&'static str, u32)> {
        COMMANDS.iter().filter_map(move |(name, changes)| {
            let (_, value) = changes.iter().rev().find(|(since, _)| *since <= self)?;
            value.map(|value| (*name, value))
        })
    }
}

impl fmt::Display for Line {
    /// The first version of the line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = KNOWN.iter().filter(|(_, line)| line == self);
        first.next().map_or(Ok(()), |((major, minor, patch), _)| {
            write!(f, "{major}.{minor}.{patch}")
        })
    }
}

/// `4.20.0`, `4.20`, and forms with a builder's suffix (`4.20.0-1`, `4.20.0+dkms`).
fn parse(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches('v');
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(str::parse);
    let major = parts.next()?.ok()?;
    let minor = parts.next()?.ok()?;
    let patch = parts.next().and_then(Result::ok).unwrap_or(0);
    Some((major, minor, patch))
}
