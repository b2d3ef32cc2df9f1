//! The v1 hierarchies of control groups that the programs read.

use std::path::Path;

use agent_ebpf::v1_hierarchy;

use super::btf::Btf;
use accelscope_core::host::cgroups::{Controllers, V1};

/// What the programs are told of them ([`agent_ebpf::Settings::v1_subsystem`]), in the order in which they are tried. 0 where
/// all controllers are in the unified hierarchy.
pub(super) fn find(proc: &Path, btf: Option<&Btf>) -> u32 {
    let table = std::fs::read_to_string(proc.join("cgroups")).unwrap_or_default();
    choose(&Controllers::parse(&table), |controller| {
        btf?.enumerator("cgroup_subsys_id", &format!("{controller}_cgrp_id"))
    })
}

/// Whether the unified hierarchy is the only one.
pub(super) fn is_single(proc: &Path) -> bool {
    std::fs::read_to_string(proc.join("self/cgroup")).is_ok_and(|text| text.lines().all(|line| line.starts_with("0::")))
}

fn choose(table: &Controllers, number: impl Fn(&str) -> Option<u32>) -> u32 {
    let byte = |v1: &V1| {
        // The kernel lists them in the order of their numbers (`proc_cgroupstats_show`).
        let index = table.position(v1.controller)?;
        let subsystem = number(v1.controller).unwrap_or(index as u32);
        (subsystem < 16).then(|| v1_hierarchy(v1.place.into(), subsystem))
    };
    let captured = table.captured();
    let bytes = captured.iter().filter_map(byte).take(size_of::<u32>());
    bytes.enumerate().fold(0, |all, (at, byte)| all | byte << (8 * at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(table: &str, number: impl Fn(&str) -> Option<u32>) -> u32 {
        choose(&Controllers::parse(table), number)
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
    fn the_hierarchies_that_distinguish_containers_are_tried_in_order() {
        assert_eq!(of(HYBRID, |_| None), 0x00b0_a182, "pids, memory, cpuset");
        let number = |controller: &str| (controller == "pids").then_some(11);
        assert_eq!(of(HYBRID, number), 0x00b0_a18b, "the kernel's types know better");
        let freezer = "cpu\t1\t1\t1\nfreezer\t6\t1\t1\nmemory\t4\t38\t1\npids\t8\t1\t1\ndevices\t5\t1\t1\n";
        assert_eq!(of(freezer, |_| None), 0xc4a2_8391, "freezer, pids, memory, devices");
        assert_eq!(of("memory\t4\t38\t1\npids\t0\t1\t1\n", |_| None), 0x80, "memory alone");
        assert_eq!(
            of("cpu\t1\t1\t1\ncpuacct\t1\t1\t1\n", |_| None),
            0xd0,
            "mounted together"
        );
        assert_eq!(of("memory\t0\t38\t1\npids\t0\t1\t1\n", |_| None), 0, "all are unified");
        assert_eq!(of("", |_| None), 0);
    }
}
