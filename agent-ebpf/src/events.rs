// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What is told at once, through the ring buffer `EVENTS`.

/// Room for the path of a control group, with its terminating zero. A path that fills it is not told, as it may have been
/// cut.
pub const PATH: usize = 512;

/// What is told at once, through the ring buffer `EVENTS`: this header, then what the kind says.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// [`EVENT_KEY`] and so on.
    pub kind: u32,
    /// Process (`tgid`) that caused it.
    pub pid: u32,
}

/// A key was made: a `u32` number of its record and a `u32` of padding follow.
pub const EVENT_KEY: u32 = 1;
/// A control group was made, or one of version 1 renamed: a [`Made`] follows.
pub const EVENT_CGROUP: u32 = 2;
/// A process owns a Hailo device now: an [`Owned`] follows.
pub const EVENT_OWNER: u32 = 3;

/// A control group that was made or renamed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// Its kernfs id.
    pub id: u64,
    /// Id of its hierarchy, as in `/proc/<pid>/cgroup`; 0 is the unified one.
    pub hierarchy: u32,
    /// Bytes of the path, its zero included; 0 where it is not told: it could not be read, or is longer than [`PATH`]
    /// allows. What is behind them is undefined.
    pub length: u32,
    /// Its path from the root of the hierarchy, ended by a zero.
    pub path: [u8; PATH],
}

/// Who marked a Hailo device as in use.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Which watched device.
    pub device: u32,
    /// Number of the caller's record.
    pub record: u32,
    /// 0: it is the owner now; 1: the device was busy.
    pub busy: u32,
    /// Zero.
    pub padding: u32,
}

/// The whole entry of [`EVENT_KEY`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMade {
    /// The header.
    pub event: Event,
    /// Number of the key's record.
    pub record: u32,
    /// Zero.
    pub padding: u32,
}

/// The whole entry of [`EVENT_CGROUP`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct GroupMade {
    /// The header.
    pub event: Event,
    /// The group.
    pub made: Made,
}

/// The whole entry of [`EVENT_OWNER`].
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerTold {
    /// The header.
    pub event: Event,
    /// Who.
    pub owned: Owned,
}
