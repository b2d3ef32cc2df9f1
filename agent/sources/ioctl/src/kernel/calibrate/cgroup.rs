//! From the task to its control groups.

use agent_ebpf::Offsets;

use super::{Known, TASK, View, nearest, only};

/// Bytes that are searched of a `css_set`, a `cgroup_subsys_state`, a `cgroup`, a `kernfs_node` and a `cgroup_root`.
const SET: u64 = 320;
const STATE: u64 = 64;
const GROUP: u64 = 1024;
const NODE: u64 = 192;
const ROOT: u64 = 64;
/// The id of every hierarchy's root, which stands in too many places to find anything by it.
const ROOT_ID: u64 = 1;

/// Where a set leads: by controllers, and by the unified hierarchy.
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

pub(super) fn find(view: &mut View<'_>, known: &Known, offsets: &mut Offsets) {
    let Some(set) = nearest(sets(view, known), |set| set.at) else {
        return;
    };
    offsets.task_cgroups = set.at as u32;
    offsets.css_set_subsys = set.subsystems as u32;
    offsets.css_set_default = set.unified as u32;
    offsets.css_cgroup = set.state as u32;
    if let Some((node, id)) = only(nodes(view, known, &set)) {
        offsets.cgroup_kn = node as u32;
        offsets.kn_id = id as u32;
    }
    if let Some((root, hierarchy)) = only(roots(view, known, &set)) {
        offsets.cgroup_root = root as u32;
        offsets.root_hierarchy = hierarchy as u32;
    }
}

/// A group begins with a state of its own, which points back to it: that is how one is known.
fn is_group(view: &mut View<'_>, address: u64, state: u64) -> bool {
    view.word(address + state) == Some(address)
}

fn sets(view: &mut View<'_>, known: &Known) -> Vec<Set> {
    let mut found = Vec::new();
    for at in (0..TASK).step_by(8) {
        let Some(set) = view.pointer(known.task + at) else {
            continue;
        };
        for state in (0..STATE).step_by(8) {
            // Controllers, one after the other, each with its state and thereby its group: as many as there are in a row,
            // since some are not listed.
            let states: Vec<_> = (0..SET)
                .step_by(8)
                .map(|place| {
                    let css = view.pointer(set + place)?;
                    let group = view.pointer(css + state)?;
                    (css != group && is_group(view, group, state)).then_some(group)
                })
                .collect();
            let mut first = 0;
            while let Some(start) = (first..states.len()).find(|place| states[*place].is_some()) {
                let groups: Vec<_> = states[start..].iter().map_while(|group| *group).collect();
                first = start + groups.len();
                if groups.len() < known.controllers.len().max(1) {
                    continue;
                }
                let subsystems = 8 * start as u64;
                let behind = subsystems + 8 * groups.len() as u64;
                // The state of a group itself, in the unified hierarchy, is where it begins.
                let mut own = Vec::new();
                for place in (0..SET)
                    .step_by(8)
                    .filter(|place| !(subsystems..behind).contains(place))
                {
                    if let Some(group) = view.pointer(set + place)
                        // An empty list points to itself as well.
                        && !(set..set + SET).contains(&group)
                        && is_group(view, group, state)
                    {
                        own.push((place, group));
                    }
                }
                if let Some((unified, own)) = only(own) {
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

/// The groups whose ids are known.
fn ids<'a>(known: &'a Known, set: &'a Set) -> impl Iterator<Item = (u64, u64)> + 'a {
    let own = (set.own, known.cgroup);
    let controllers = set.groups.iter().zip(&known.controllers);
    controllers
        .filter_map(|(group, controller)| Some((*group, controller.id?)))
        .chain([own])
}

fn nodes(view: &mut View<'_>, known: &Known, set: &Set) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    if ids(known, set).all(|(_, id)| id <= ROOT_ID) {
        return found;
    }
    for at in (0..GROUP).step_by(8) {
        let nodes: Option<Vec<_>> = ids(known, set)
            .map(|(group, id)| Some((view.pointer(group + at)?, id)))
            .collect();
        let Some(nodes) = nodes else { continue };
        for place in (0..NODE).step_by(8) {
            if nodes.iter().all(|(node, id)| view.word(node + place) == Some(*id)) {
                found.push((at, place));
            }
        }
    }
    found
}

fn roots(view: &mut View<'_>, known: &Known, set: &Set) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    // With one hierarchy there is nothing to tell by.
    if known.controllers.iter().all(|controller| controller.hierarchy == 0) {
        return found;
    }
    let groups: Vec<_> = set
        .groups
        .iter()
        .zip(&known.controllers)
        .map(|(group, controller)| (*group, controller.hierarchy))
        .chain([(set.own, 0)])
        .collect();
    for at in (0..4 * GROUP).step_by(8) {
        let roots: Option<Vec<_>> = groups
            .iter()
            .map(|(group, hierarchy)| Some((view.pointer(group + at)?, *hierarchy)))
            .collect();
        let Some(roots) = roots else { continue };
        for place in (0..ROOT).step_by(4) {
            if roots
                .iter()
                .all(|(root, hierarchy)| view.half(root + place) == Some(*hierarchy))
            {
                found.push((at, place));
            }
        }
    }
    found
}
