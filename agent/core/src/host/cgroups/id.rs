//! Identity and state of a control group.

/// In which of the host's hierarchies an id is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hierarchy {
    /// cgroup v2.
    Unified,
    /// The v1 hierarchy of the controller `pids`, else of `memory`: on a hybrid host pods may exist there only.
    Legacy,
}

/// A control group, by the kernfs id that the kernel gives it: on 64-bit kernels from 5.5 on the inode number of its
/// directory (commit 40430452fd5d). Never given twice while the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupId {
    /// Its hierarchy.
    pub hierarchy: Hierarchy,
    /// Its number there.
    pub id: u64,
}

/// Whether a control group is still used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Processes are in it.
    Populated,
    /// It exists without a process.
    Empty,
    /// It has been removed.
    Gone,
    /// It cannot be seen from here.
    Unknown,
}
