//! The v1 hierarchy of control groups that the programs read.

use std::path::Path;

use procfs::{CGroupControllers, FromRead};

use super::btf::Btf;

/// A controller of a v1 hierarchy in which each container has a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1 {
    /// `pids`, else `memory`.
    pub controller: &'static str,
    /// Id of its hierarchy, as in `/proc/<pid>/cgroup`.
    pub hierarchy: u32,
    /// Number of the controller in the kernel (`enum cgroup_subsys_id`).
    pub(super) subsystem: u32,
}

/// `pids` first: every container runtime creates a group for it, while those of `cpu` may be merged with the parent's.
const CONTROLLERS: [&str; 2] = ["pids", "memory"];

/// Reads `/proc/cgroups`. Nothing where all controllers are in the unified hierarchy.
pub(super) fn find(proc: &Path, btf: Option<&Btf>) -> Option<V1> {
    choose(
        &CGroupControllers::from_file(proc.join("cgroups")).ok()?,
        |controller| btf?.enumerator("cgroup_subsys_id", &format!("{controller}_cgrp_id")),
    )
}

/// Whether the unified hierarchy is the only one.
pub(super) fn is_single(proc: &Path) -> bool {
    std::fs::read_to_string(proc.join("self/cgroup")).is_ok_and(|text| text.lines().all(|line| line.starts_with("0::")))
}

fn choose(CGroupControllers(all): &CGroupControllers, number: impl Fn(&str) -> Option<u32>) -> Option<V1> {
    CONTROLLERS.into_iter().find_map(|controller| {
        // The kernel lists them in the order of their numbers (`proc_cgroupstats_show`).
        let index = all.iter().position(|one| one.name == controller)?;
        let hierarchy = all[index].hierarchy;
        let subsystem = number(controller).unwrap_or(index as u32);
        (hierarchy != 0).then_some(V1 {
            controller,
            hierarchy,
            subsystem,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(table: &str, number: impl Fn(&str) -> Option<u32>) -> Option<V1> {
        choose(&CGroupControllers::from_read(table.as_bytes()).unwrap(), number)
    }

    const HYBRID: &str =
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t3\t1\t1\nmemory\t4\t38\t1\npids\t8\t1\t1\n";

    #[test]
    fn one_hierarchy_is_distinguished_from_several() {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir(proc.path().join("self")).unwrap();
        for (text, single) in [("0::/init.scope\n", true), ("1:name=systemd:/\n0::/\n", false)] {
            std::fs::write(proc.path().join("self/cgroup"), text).unwrap();
            assert_eq!(is_single(proc.path()), single, "{text}");
        }
        assert!(!is_single(Path::new("/nowhere")));
    }

    #[test]
    fn the_hierarchy_that_distinguishes_containers_is_found() {
        let found = of(HYBRID, |_| None).unwrap();
        assert_eq!((found.controller, found.hierarchy, found.subsystem), ("pids", 8, 2));
        assert_eq!(
            of(HYBRID, |_| Some(11)).unwrap().subsystem,
            11,
            "the kernel's types know better"
        );
        let memory = of("memory\t4\t38\t1\npids\t0\t1\t1\n", |_| None).unwrap();
        assert_eq!((memory.controller, memory.subsystem), ("memory", 0));
        assert_eq!(
            of("memory\t0\t38\t1\npids\t0\t1\t1\n", |_| None),
            None,
            "all are unified"
        );
        assert_eq!(of("", |_| None), None);
    }
}
