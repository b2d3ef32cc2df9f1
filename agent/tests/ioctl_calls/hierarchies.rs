//! Calls and holders of processes that are in a container in some hierarchies of cgroup v1 only: both have the innermost
//! container that any hierarchy names.

use std::path::Path;

use skip_test::skip;

use crate::caller::DEVICE;
use crate::group_support::new_id;
use crate::held::HOLDERS;
use crate::joined::Groups;
use crate::lasting::Paced;
use crate::seen::Agent;
use crate::tests::{CALLS, call_by};

pub(crate) const TESTS: [(&str, fn()); 5] = [
    (
        "each_hierarchy_alone_names_the_container_while_the_process_lives",
        each_alone,
    ),
    (
        "freezer_and_systemd_name_the_container_beside_a_service",
        beside_a_service,
    ),
    ("the_innermost_of_several_containers_is_named", innermost),
    (
        "a_process_of_a_few_milliseconds_is_in_the_container_of_memory_alone",
        short_lived,
    ),
    ("containers_that_share_a_group_have_their_own_calls", shared),
];

const SERVICE: &str = "system.slice/ecs-agent.service";

const HIERARCHIES: &[&str] = &[
    "memory", "freezer", "devices", "cpu", "cpuset", "blkio", "pids", "systemd", "unified",
];

fn agent() -> Option<Agent> {
    Agent::start(&["--set", "ioctl.period=1s"])
}

/// A process in these groups that has made that many calls, and has the device open.
fn caller(calls: usize, groups: &Groups) -> Paced {
    let mut caller = Paced::new(Path::new(DEVICE), &groups.list());
    caller.call(calls);
    caller
}

fn sum(agent: &Agent, name: &str, id: &str) -> f64 {
    agent.sum(name, &[("container.id", id)])
}

/// Calls and holders of that container.
fn both_name(agent: &Agent, id: &str, calls: f64) {
    agent.wait(&format!("the calls of {id}"), |agent| {
        (sum(agent, CALLS, id) >= calls).then_some(())
    });
    agent.wait(&format!("the holder of {id}"), |agent| {
        (sum(agent, HOLDERS, id) == 1.0).then_some(())
    });
    assert_eq!(sum(agent, CALLS, id), calls);
}

fn each_alone() {
    let Some(agent) = agent() else { return };
    let mut callers = Vec::new();
    for hierarchy in HIERARCHIES {
        let id = new_id();
        let mut groups = Groups::default();
        if groups.add(hierarchy, &format!("docker/{id}")) {
            callers.push((id, caller(100, &groups), groups));
        }
    }
    for (id, ..) in &callers {
        both_name(&agent, id, 100.0);
    }
    if callers.is_empty() {
        skip("cgroups", "no hierarchy can be written");
    }
}

fn beside_a_service() {
    let Some(agent) = agent() else { return };
    let id = new_id();
    let mut groups = Groups::default();
    let found = ["freezer", "systemd"].map(|hierarchy| groups.add(hierarchy, &format!("ecs/0123/{id}")));
    for hierarchy in ["pids", "memory", "unified"] {
        groups.add(hierarchy, SERVICE);
    }
    if found != [true; 2] {
        return skip("cgroups", "no hierarchy of cgroup v1 can be written");
    }
    let _caller = caller(100, &groups);
    both_name(&agent, &id, 100.0);
}

fn innermost() {
    let Some(agent) = agent() else { return };
    let (outer, inner) = (new_id(), new_id());
    let mut groups = Groups::default();
    let in_outer = groups.add("pids", &format!("docker/{outer}"));
    if !in_outer || !groups.add("cpu", &format!("docker/{outer}/docker/{inner}")) {
        return skip("cgroups", "no hierarchy of cgroup v1 can be written");
    }
    let _caller = caller(100, &groups);
    both_name(&agent, &inner, 100.0);
    assert_eq!(sum(&agent, CALLS, &outer), 0.0);
}

/// None of them lives long enough to be looked at.
fn short_lived() {
    let Some(agent) = agent() else { return };
    let program = std::env::current_exe().unwrap();
    for hierarchy in ["memory", "freezer"] {
        let id = new_id();
        let mut groups = Groups::default();
        if !groups.add(hierarchy, &format!("docker/{id}")) {
            skip("cgroups", "no hierarchy of cgroup v1 can be written");
            continue;
        }
        for _ in 0..20 {
            call_by(&program, &groups.list(), 5);
        }
        agent.wait(&format!("the calls of {id} by {hierarchy}"), |agent| {
            (sum(agent, CALLS, &id) >= 100.0).then_some(())
        });
        assert_eq!(sum(&agent, CALLS, &id), 100.0);
    }
}

/// The kernel is to tell them apart although `pids` and `memory` do not, nor `freezer`.
fn shared() {
    let Some(agent) = agent() else { return };
    shared_in(&agent, &["pids", "memory", "unified"]);
    shared_in(&agent, &["pids", "memory", "unified", "freezer"]);
}

fn shared_in(agent: &Agent, by_all: &[&str]) {
    let ids = [new_id(), new_id()];
    // Callers end before their groups.
    let mut all = Vec::new();
    let mut callers = Vec::new();
    for (id, calls) in ids.iter().zip([100, 230]) {
        let mut groups = Groups::default();
        for hierarchy in by_all {
            groups.add(hierarchy, SERVICE);
        }
        if !groups.add("systemd", &format!("docker/{id}")) {
            return skip("cgroups", "systemd's hierarchy cannot be written");
        }
        callers.push(caller(calls, &groups));
        all.push(groups);
    }
    both_name(agent, &ids[0], 100.0);
    both_name(agent, &ids[1], 230.0);
    drop(callers);
}
