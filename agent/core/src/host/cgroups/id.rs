//! Identity and state of a control group.

/// Hierarchy to which an id belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hierarchy {
    /// cgroup v2.
    Unified,
    /// The v1 hierarchy of the controller `pids`, else of `memory`: on a hybrid host pods may exist there only.
    Legacy,
    /// Another v1 hierarchy, by its place ([`V1`](super::V1)).
    Further(u8),
}

/// The bits from which on a captured id has the place of its v1 hierarchy, and the set of all groups.
const PLACE: u32 = 60;
const SET: u32 = 40;

/// A control group, identified by its kernfs id: on 64-bit kernels from 5.5 on the inode number of its directory
/// (commit 40430452fd5d). Ids are never reused while the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId {
    /// Its hierarchy.
    pub hierarchy: Hierarchy,
    /// Its id in the hierarchy.
    pub id: u64,
}

impl CgroupId {
    /// Of a group of v1 as the programs in the kernel capture it: the id in its hierarchy, and above it the place of that.
    /// What is between them only keeps processes apart that are in different groups of other hierarchies.
    pub const fn captured(number: u64) -> Self {
        let hierarchy = match (number >> PLACE) as u8 & 7 {
            0 => Hierarchy::Legacy,
            place => Hierarchy::Further(place),
        };
        let id = number & ((1 << SET) - 1);
        Self { hierarchy, id }
    }

    /// Of a group of v2.
    pub const fn unified(id: u64) -> Self {
        let hierarchy = Hierarchy::Unified;
        Self { hierarchy, id }
    }
}

/// State of a control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has processes.
    Populated,
    /// It exists without processes.
    Empty,
    /// It has been removed.
    Gone,
    /// It is not visible from here.
    Unknown,
}
