//! Offsets of the fields of kernel structures that the programs read.

use agent_ebpf::Offsets;

use super::btf::Btf;

/// A feature that is unavailable if an offset is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// Resolving a descriptor to its device; needed by tracepoints.
    Descriptors,
    /// Resolving a file to its device; needed by all hooks.
    Device,
    /// The name of the calling executable, by which executables are told apart.
    Name,
    /// Name of the thread group leader, for callers without an executable.
    Comm,
    /// Start time of the process, which distinguishes processes that had the same id.
    Start,
    /// Control groups of a v1 hierarchy.
    CgroupV1,
    /// Control groups that are created and removed between two scans.
    CgroupMade,
}

impl Feature {
    /// The consequence, for the report.
    pub const fn loss(self) -> &'static str {
        match self {
            Self::Descriptors => "calls can only be seen at a driver's own function",
            Self::Device => "no call can be assigned to a device",
            Self::Name => "executables are named, and told apart, as their process names itself (comm)",
            Self::Comm => "calls without an executable have no name",
            Self::Start => "a process that ended at once may be taken for its successor of the same id",
            Self::CgroupV1 => "containers that exist only in a v1 hierarchy are not recognised",
            Self::CgroupMade => "containers that end within a second may stay without a name",
        }
    }
}

/// A struct and a path of members, by all names that kernels have had for it.
type Names = &'static [(&'static str, &'static [&'static str])];

struct Row {
    names: Names,
    place: fn(&mut Offsets) -> &mut u32,
    needed_for: &'static [Feature],
}

macro_rules! rows {
    ($($(#[$only:meta])? $place:ident = $($structure:ident . $($member:ident).+)|+ => [$($feature:ident)*];)*) => {
        &[$($(#[$only])? Row {
            names: &[$((stringify!($structure), &[$(stringify!($member)),+])),+],
            place: |offsets| &mut offsets.$place,
            needed_for: &[$(Feature::$feature),*],
        }),*]
    };
}

/// `real_start_time` became `start_boottime` in Linux 5.5 (commit cf25e24db61c). `kernfs_node.id` was a union of inode
/// number and generation until 5.5 (67c0496e87d1): the same 8 bytes. `file.f_path` and `dentry.d_name` are in unnamed
/// unions since 6.17 and 6.14.
const ROWS: &[Row] = rows! {
    task_files = task_struct.files => [Descriptors];
    files_fdt = files_struct.fdt => [Descriptors];
    fdt_max_fds = fdtable.max_fds => [Descriptors];
    fdt_fd = fdtable.fd => [Descriptors];
    file_inode = file.f_inode => [Device];
    inode_mode = inode.i_mode => [Device];
    inode_rdev = inode.i_rdev => [Device];
    task_mm = task_struct.mm => [Name];
    mm_exe_file = mm_struct.exe_file => [Name];
    file_dentry = file.f_path.dentry => [Name];
    dentry_name = dentry.d_name.name => [Name];
    task_leader = task_struct.group_leader => [Start Comm];
    task_started = task_struct.start_boottime | task_struct.real_start_time => [Start];
    task_comm = task_struct.comm => [Comm];
    task_cgroups = task_struct.cgroups => [CgroupV1];
    css_set_subsys = css_set.subsys => [CgroupV1];
    css_set_default = css_set.dfl_cgrp => [];
    css_cgroup = cgroup_subsys_state.cgroup => [CgroupV1];
    cgroup_kn = cgroup.kn => [CgroupV1 CgroupMade];
    kn_id = kernfs_node.id => [CgroupV1 CgroupMade];
    cgroup_root = cgroup.root => [CgroupMade];
    root_hierarchy = cgroup_root.hierarchy_id => [CgroupMade];
    // Optional: shorter paths.
    task_pid = task_struct.pid => [];
    task_tgid = task_struct.tgid => [];
    files_fd_array = files_struct.fd_array => [];
    // Optional: without it, calls through descriptors of the path alone (`O_PATH`), which fail, are taken for a device's.
    file_mode = file.f_mode => [];
    #[cfg(target_arch = "x86_64")] task_compat = task_struct.thread_info.status => [];
    #[cfg(target_arch = "aarch64")] task_compat = task_struct.thread_info.flags => [];
};

/// Where a kernel without type information keeps [`Offsets::task_compat`]: `thread_info` is the first member of
/// `task_struct`, and on `x86_64` its member `status` follows `flags` and, since Linux 5.11 (commit 3136b93c3fb2),
/// `syscall_work`.
pub const fn task_compat(release: Option<(u32, u32)>) -> u32 {
    if cfg!(target_arch = "aarch64") {
        return 0;
    }
    match release {
        Some((major, minor)) if major < 5 || (major == 5 && minor < 11) => 8,
        _ => 16,
    }
}

/// The offsets according to type information.
pub fn from_btf(btf: &Btf) -> Offsets {
    let mut offsets = Offsets::UNKNOWN;
    let mut names: Vec<&str> = ROWS.iter().flat_map(|row| row.names).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let structures = btf.structures(&names);
    for row in ROWS {
        let found = row
            .names
            .iter()
            .find_map(|(name, path)| btf.offset_in(structures.get(name)?, path));
        *(row.place)(&mut offsets) = found.unwrap_or(u32::MAX);
    }
    offsets
}

/// The unavailable features, each with the first field that is not known.
pub fn missing(offsets: &Offsets) -> Vec<(Feature, String)> {
    let mut offsets = *offsets;
    let mut missing: Vec<(Feature, String)> = Vec::new();
    for row in ROWS {
        if *(row.place)(&mut offsets) != u32::MAX {
            continue;
        }
        for feature in row.needed_for {
            if missing.iter().all(|(known, _)| known != feature) {
                let (structure, path) = row.names[0];
                missing.push((*feature, format!("{structure}.{}", path.join("."))));
            }
        }
    }
    missing.sort();
    missing
}

/// The offsets that differ, by name, with both values.
pub fn differences(one: &Offsets, other: &Offsets) -> Vec<(String, u32, u32)> {
    let (mut one, mut other) = (*one, *other);
    ROWS.iter()
        .filter_map(|row| {
            let (one, other) = (*(row.place)(&mut one), *(row.place)(&mut other));
            let (structure, path) = row.names[0];
            (one != other).then(|| (format!("{structure}.{}", path.join(".")), one, other))
        })
        .collect()
}

/// The first field that calibration found at another offset than the one in `given`, or that is missing there: its name,
/// the given and the found offset.
pub fn contradiction(given: &Offsets, found: &Offsets) -> Option<(String, u32, u32)> {
    let mut all = differences(given, found).into_iter();
    all.find(|(_, _, found)| *found != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn without_any_everything_is_named_as_missing() {
        let missing = missing(&Offsets::UNKNOWN);
        assert_eq!(missing.len(), 7);
        assert_eq!(missing[0], (Feature::Descriptors, "task_struct.files".into()));
        assert_eq!(missing[1], (Feature::Device, "file.f_inode".into()));
    }

    #[test]
    fn the_running_kernel_describes_all() {
        let Ok(btf) = Btf::read(Path::new("/sys/kernel/btf/vmlinux")) else {
            eprintln!("SKIPPED: this kernel has no BTF");
            return;
        };
        let offsets = from_btf(&btf);
        assert_eq!(missing(&offsets), []);
        assert_eq!(differences(&offsets, &offsets), []);
        assert_eq!(differences(&offsets, &Offsets::UNKNOWN).len(), ROWS.len());
    }
}
