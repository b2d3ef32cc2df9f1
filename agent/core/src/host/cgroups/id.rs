//! Identity and state of a control group.

/// Hierarchy to which an id belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hierarchy {
    /// cgroup v2.
    Unified,
    /// The v1 hierarchy of the controller `pids`, else of `memory`: on a hybrid host pods may exist there only.
    Legacy,
}

/// A control group, identified by its kernfs id: on 64-bit kernels from 5.5 on the inode number of its directory
/// (commit 40430452fd5d). Ids are never reused while the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId {
    /// Its hierarchy.
    pub hierarchy: Hierarchy,
    /// Its id in the hierarchy.
    pub id: u64,
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
