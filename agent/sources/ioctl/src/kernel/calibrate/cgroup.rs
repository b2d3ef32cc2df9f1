//! From the task to its control groups.

use agent_ebpf::Offsets;

use super::cache::MemoryCache;
use super::reference::Reference;
use super::search::{TASK, behind_pointers, nearest_to_start, unique};

/// Bytes that are searched of a `css_set`, a `cgroup_subsys_state`, a `cgroup`, a `kernfs_node` and a `cgroup_root`.
const SET: u64 = 320;
const STATE: u64 = 64;
const GROUP: u64 = 1024;
const NODE: u64 = 192;
const ROOT: u64 = 64;
/// The id of the root of every hierarchy; too common a value to search for.
const ROOT_ID: u64 = 1;

/// A candidate for `task_struct.cgroups`: the groups that it leads to, by controllers and in the unified hierarchy.
#[derive(Debug, PartialEq)]
struct Set {
    /// `task_struct.cgroups`
    at: u64,
    /// `css_set.subsys`
    subsystems: u64,
    /// `css_set.dfl_cgrp`
    unified: u64,
    /// `cgroup_subsys_state.cgroup`
    state: u64,
    /// The group of each controller, in the order of their numbers.
    groups: Vec<u64>,
    /// The group of the unified hierarchy.
    own: u64,
}

pub(super) fn find(cache: &mut MemoryCache<'_>, reference: &Reference, offsets: &mut Offsets) {
    let Some(set) = nearest_to_start(sets(cache, reference), |set| set.at) else {
        return;
    };
    offsets.task_cgroups = set.at as u32;
    offsets.css_set_subsys = set.subsystems as u32;
    offsets.css_set_default = set.unified as u32;
    offsets.css_cgroup = set.state as u32;
    if let Some((node, id)) = unique(nodes(cache, reference, &set)) {
        offsets.cgroup_kn = node as u32;
        offsets.kn_id = id as u32;
    }
    if let Some((root, hierarchy)) = unique(roots(cache, reference, &set)) {
        offsets.cgroup_root = root as u32;
        offsets.root_hierarchy = hierarchy as u32;
    }
}

/// A group begins with a state of its own, which points back to it: which identifies it.
fn is_group(cache: &mut MemoryCache<'_>, address: u64, state: u64) -> bool {
    cache.u64_at(address + state) == Some(address)
}

fn sets(cache: &mut MemoryCache<'_>, reference: &Reference) -> Vec<Set> {
    let mut found = Vec::new();
    for at in (0..TASK).step_by(8) {
        let Some(set) = cache.pointer(reference.task + at) else {
            continue;
        };
        for state in (0..STATE).step_by(8) {
            // An array of the controllers' states, each of which leads to a group. All consecutive ones, as `/proc/cgroups`
            // does not list all controllers.
            let states: Vec<_> = (0..SET)
                .step_by(8)
                .map(|place| {
                    let css = cache.pointer(set + place)?;
                    let group = cache.pointer(css + state)?;
                    (css != group && is_group(cache, group, state)).then_some(group)
                })
                .collect();
            let mut first = 0;
            while let Some(start) = (first..states.len()).find(|place| states[*place].is_some()) {
                let groups: Vec<_> = states[start..].iter().map_while(|group| *group).collect();
                first = start + groups.len();
                if groups.len() < reference.controllers.len().max(1) {
                    continue;
                }
                let subsystems = 8 * start as u64;
                let behind = subsystems + 8 * groups.len() as u64;
                // In the unified hierarchy, the group's own state, which is at its start.
                let mut own = Vec::new();
                for place in (0..SET)
                    .step_by(8)
                    .filter(|place| !(subsystems..behind).contains(place))
                {
                    if let Some(group) = cache.pointer(set + place)
                        // An empty list points to itself as well.
                        && !(set..set + SET).contains(&group)
                        && is_group(cache, group, state)
                    {
                        own.push((place, group));
                    }
                }
                if let Some((unified, own)) = unique(own) {
                    found.push(Set {
                        at,
                        subsystems,
                        unified,
                        state,
                        groups,
                        own,
                    });
                }
            }
        }
    }
    found
}

fn nodes(cache: &mut MemoryCache<'_>, reference: &Reference, set: &Set) -> Vec<(u64, u64)> {
    let controllers = reference.controllers.iter().zip(&set.groups);
    // The groups with known ids.
    let groups: Vec<_> = controllers
        .filter_map(|(controller, group)| Some((controller.id?, *group)))
        .chain([(reference.cgroup, set.own)])
        .collect();
    if groups.iter().all(|(id, _)| *id <= ROOT_ID) {
        return Vec::new();
    }
    behind_pointers(cache, &groups, GROUP, (NODE, 8), |cache, id, number| {
        cache.u64_at(number) == Some(id)
    })
}

fn roots(cache: &mut MemoryCache<'_>, reference: &Reference, set: &Set) -> Vec<(u64, u64)> {
    // With the unified hierarchy only, all ids are 0.
    if reference.controllers.iter().all(|controller| controller.hierarchy == 0) {
        return Vec::new();
    }
    let controllers = reference.controllers.iter().zip(&set.groups);
    let groups: Vec<_> = controllers
        .map(|(controller, group)| (controller.hierarchy, *group))
        .chain([(0, set.own)])
        .collect();
    behind_pointers(cache, &groups, 4 * GROUP, (ROOT, 4), |cache, hierarchy, number| {
        cache.u32_at(number) == Some(hierarchy)
    })
}
