//! From the task to its control groups.

use agent_ebpf::Offsets;

use super::cache::MemoryCache;
use super::reference::Reference;
use super::search::{TASK, nearest_to_start, unique};

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

/// The groups with known ids.
fn ids<'a>(reference: &'a Reference, set: &'a Set) -> impl Iterator<Item = (u64, u64)> + 'a {
    let own = (set.own, reference.cgroup);
    let controllers = set.groups.iter().zip(&reference.controllers);
    controllers
        .filter_map(|(group, controller)| Some((*group, controller.id?)))
        .chain([own])
}

fn nodes(cache: &mut MemoryCache<'_>, reference: &Reference, set: &Set) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    if ids(reference, set).all(|(_, id)| id <= ROOT_ID) {
        return found;
    }
    for at in (0..GROUP).step_by(8) {
        let nodes: Option<Vec<_>> = ids(reference, set)
            .map(|(group, id)| Some((cache.pointer(group + at)?, id)))
            .collect();
        let Some(nodes) = nodes else { continue };
        for place in (0..NODE).step_by(8) {
            if nodes.iter().all(|(node, id)| cache.u64_at(node + place) == Some(*id)) {
                found.push((at, place));
            }
        }
    }
    found
}

fn roots(cache: &mut MemoryCache<'_>, reference: &Reference, set: &Set) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    // With the unified hierarchy only, all ids are 0.
    if reference.controllers.iter().all(|controller| controller.hierarchy == 0) {
        return found;
    }
    let groups: Vec<_> = set
        .groups
        .iter()
        .zip(&reference.controllers)
        .map(|(group, controller)| (*group, controller.hierarchy))
        .chain([(set.own, 0)])
        .collect();
    for at in (0..4 * GROUP).step_by(8) {
        let roots: Option<Vec<_>> = groups
            .iter()
            .map(|(group, hierarchy)| Some((cache.pointer(group + at)?, *hierarchy)))
            .collect();
        let Some(roots) = roots else { continue };
        for place in (0..ROOT).step_by(4) {
            if roots
                .iter()
                .all(|(root, hierarchy)| cache.u32_at(root + place) == Some(*hierarchy))
            {
                found.push((at, place));
            }
        }
    }
    found
}
