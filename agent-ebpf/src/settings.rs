// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the agent writes into the programs' read-only data before they are loaded.

use crate::cast::Current;

/// The programs' global `SETTINGS`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Offsets of the kernel's structures.
    pub offsets: Offsets,
    /// The v1 hierarchies whose control group is captured: a byte for each, the one that is tried first in the lowest byte,
    /// 0 behind the last. [`v1_hierarchy`] makes them.
    pub v1_subsystem: u32,
    /// 1: capture it.
    pub v1: u32,
    /// 1: the process id is part of every key.
    pub per_process: u32,
    /// The agent's own process id in the initial namespace, 0 where it is not known: only its calls may use the program
    /// `peek`.
    pub agent: u32,
    /// Most keys of one control group; beyond them its executables and commands are folded.
    pub quota: u32,
    /// Most keys of shares of processors ([`crate::SHARE`]) at a time; 0 where there is only one processor.
    pub shares: u32,
    /// The number of `struct files_struct` in the kernel's BTF where [`crate::cast::patch`] was applied to the programs; else
    /// 0, and the direct programs copy the file's fields instead of loading them.
    pub files_type: u32,
    /// Known where `cast::patch` was applied likewise; else unknown, and the current task is found by a helper.
    pub current: Current,
    /// 1: this kernel skips programs now and then, so direct programs make sure which call it is whose return they see
    /// (`bpf_task_pt_regs`, Linux 5.15).
    pub verify: u32,
}

/// One of the bytes in [`Settings::v1_subsystem`]: the number of one of its controllers in the kernel (`enum
/// cgroup_subsys_id`), and `place`, by which the agent knows it (at most 7), behind which a bit keeps it from being 0.
pub const fn v1_hierarchy(place: u32, subsystem: u32) -> u32 {
    0x80 | (place & 7) << 4 | subsystem & 0xf
}

/// In [`crate::Key::cgroup_v1`]: the bit from which on the place of the hierarchy is, of the group whose id is in the lowest
/// bits. Ids are numbers of 32 bits with a generation above, which grows when those have all been used.
pub const V1_PLACE: u32 = 60;
/// The bit from which on the set of all control groups is, by a hash: processes in one group of that hierarchy may be in
/// different ones of another.
pub const V1_SET: u32 = 40;

impl Default for Settings {
    fn default() -> Self {
        Self::NONE
    }
}

impl Settings {
    /// Nothing is known of the kernel, and nothing asked for.
    pub const NONE: Self = Self {
        offsets: Offsets::UNKNOWN,
        v1_subsystem: 0,
        v1: 0,
        per_process: 0,
        agent: 0,
        quota: 0,
        shares: 0,
        files_type: 0,
        verify: 0,
        current: Current::UNKNOWN,
    };
}

/// Offsets in bytes within the running kernel's structures, from its BTF or by calibration. `u32::MAX`: not known, and what
/// it leads to is left out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// `task_struct.files`
    pub task_files: u32,
    /// `files_struct.fdt`
    pub files_fdt: u32,
    /// `fdtable.max_fds`
    pub fdt_max_fds: u32,
    /// `fdtable.fd`
    pub fdt_fd: u32,
    /// `file.f_inode`
    pub file_inode: u32,
    /// `inode.i_mode`
    pub inode_mode: u32,
    /// `inode.i_rdev`
    pub inode_rdev: u32,
    /// `task_struct.mm`
    pub task_mm: u32,
    /// `mm_struct.exe_file`
    pub mm_exe_file: u32,
    /// `file.f_path.dentry`
    pub file_dentry: u32,
    /// `dentry.d_name.name`; hash and length of the name are the 8 bytes before it (`struct qstr`).
    pub dentry_name: u32,
    /// `task_struct.group_leader`
    pub task_leader: u32,
    /// `task_struct.start_boottime` (`real_start_time` before 5.5)
    pub task_started: u32,
    /// `task_struct.comm`
    pub task_comm: u32,
    /// `task_struct.cgroups`
    pub task_cgroups: u32,
    /// `css_set.subsys`
    pub css_set_subsys: u32,
    /// `css_set.dfl_cgrp`
    pub css_set_default: u32,
    /// `cgroup_subsys_state.cgroup`
    pub css_cgroup: u32,
    /// `cgroup.kn`
    pub cgroup_kn: u32,
    /// `kernfs_node.id`
    pub kn_id: u32,
    /// `cgroup.root`
    pub cgroup_root: u32,
    /// `cgroup_root.hierarchy_id`
    pub root_hierarchy: u32,
    /// `task_struct.pid`
    pub task_pid: u32,
    /// `task_struct.tgid`
    pub task_tgid: u32,
    /// `files_struct.fd_array`
    pub files_fd_array: u32,
    /// What tells of a task that its system call is a 32-bit program's: on `x86_64` `thread_info.status`, on arm64
    /// `thread_info.flags`, within `task_struct`
    pub task_compat: u32,
    /// `file.f_mode`
    pub file_mode: u32,
}

impl Offsets {
    /// None is known.
    pub const UNKNOWN: Self = {
        let u = u32::MAX;
        Self {
            task_files: u,
            files_fdt: u,
            fdt_max_fds: u,
            fdt_fd: u,
            file_inode: u,
            inode_mode: u,
            inode_rdev: u,
            task_mm: u,
            mm_exe_file: u,
            file_dentry: u,
            dentry_name: u,
            task_leader: u,
            task_started: u,
            task_comm: u,
            task_cgroups: u,
            css_set_subsys: u,
            css_set_default: u,
            css_cgroup: u,
            cgroup_kn: u,
            kn_id: u,
            cgroup_root: u,
            root_hierarchy: u,
            task_pid: u,
            task_tgid: u,
            files_fd_array: u,
            task_compat: u,
            file_mode: u,
        }
    };
}

impl Default for Offsets {
    fn default() -> Self {
        Self::UNKNOWN
    }
}
