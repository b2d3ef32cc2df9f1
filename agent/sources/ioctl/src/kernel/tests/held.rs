//! What this process and the kernel hold.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use aya_obj::Map;

use crate::kernel::budget::{self, Machine};

/// Number of descriptors of programs, maps, links and perf events; other tests open files meanwhile.
pub(super) fn descriptors() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets
        .filter(|target| {
            ["bpf", "perf_event"]
                .iter()
                .any(|word| target.to_string_lossy().contains(word))
        })
        .count()
}

pub(super) fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("bpf")).count()
}

/// Ids of the programs, maps and links that this process holds descriptors of, by their names in `/proc/self/fdinfo`.
pub(super) fn held() -> BTreeSet<(&'static str, u32)> {
    let mut held = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines() {
            for name in ["prog_id", "map_id", "link_id"] {
                if let Some(id) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
                    held.insert((name, id.trim().parse().unwrap()));
                }
            }
        }
    }
    held
}

/// All programs, maps and links of the kernel, including those of other processes.
pub(super) fn all() -> BTreeSet<(&'static str, u32)> {
    let programs = loaded_programs().flatten().map(|program| ("prog_id", program.id()));
    let maps = loaded_maps().flatten().map(|map| ("map_id", map.id()));
    let links = loaded_links().flatten().map(|link| ("link_id", link.id()));
    programs.chain(maps).chain(links).collect()
}

/// Names, computed memory and memory according to the kernel (`memlock` in fdinfo) of the maps that this process holds.
pub(super) fn memory() -> Vec<(String, u64, u64)> {
    let held = held();
    let maps = loaded_maps()
        .flatten()
        .filter(|map| held.contains(&("map_id", map.id())));
    maps.map(|map| {
        let kind = map.map_type().unwrap() as u32;
        let definition = Map::new_from_params(
            kind,
            map.key_size(),
            map.value_size(),
            map.max_entries(),
            map.map_flags(),
        );
        let fd = map.fd().unwrap();
        let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
        let text = std::fs::read_to_string(path).unwrap();
        let locked = text.lines().find_map(|line| line.strip_prefix("memlock:")).unwrap();
        let name = map.name_as_str().unwrap().to_owned();
        let computed = budget::bytes(&definition, Machine::here());
        (name, computed, locked.trim().parse().unwrap())
    })
    .collect()
}
