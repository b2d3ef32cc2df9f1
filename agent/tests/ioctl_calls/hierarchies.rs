//! Calls and holders of processes that are in a container in some hierarchies of cgroup v1 only: both have the innermost
//! container that any hierarchy names.
//!
//! This program is its own caller: started with `call` it acts as the process that uses an accelerator, `/dev/full`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_cmp,
    reason = "a test program that speaks to the tests; counts are whole numbers, and exact"
)]

mod agent;
mod groups;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

use agent::{Agent, CALLS, HOLDERS};
use groups::Groups;
use skip_test::skip;

const SERVICE: &str = "system.slice/ecs-agent.service";

const HIERARCHIES: &[&str] = &[
    "memory", "freezer", "devices", "cpu", "cpuset", "blkio", "pids", "systemd", "unified",
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some("call") = arguments.first().map(String::as_str) {
        return call(&arguments[1..]);
    }
    let tests: [(&str, fn()); 5] = [
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
    let mut options = Arguments::from_args();
    // One agent at a time.
    options.test_threads = Some(1);
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok::<(), Failed>(())
        })
    };
    libtest_mimic::run(&options, tests.into_iter().map(trial).collect()).exit();
}

/// `CALLS STAY GROUP…`: joins the groups, makes that many calls, says so, and with STAY 1 waits for a line with the device
/// open.
fn call(arguments: &[String]) {
    let [calls, stay, groups @ ..] = arguments else {
        panic!("{arguments:?}")
    };
    for group in groups {
        std::fs::write(format!("{group}/cgroup.procs"), "0").unwrap();
    }
    let device = File::options().read(true).write(true).open("/dev/full").unwrap();
    for _ in 0..calls.parse::<u32>().unwrap() {
        rustix::io::ioctl_fioclex(&device).unwrap();
    }
    println!("called");
    std::io::stdout().flush().unwrap();
    if stay == "1" {
        std::io::stdin().read_exact(&mut [0]).ok();
    }
}

/// A caller, ended with the test.
struct Caller(Child);

impl Caller {
    /// Returns when its calls are made.
    fn start(calls: u32, stay: bool, groups: &Groups) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["call", &calls.to_string(), if stay { "1" } else { "0" }])
            .args(groups.all())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "called\n");
        Self(child)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Calls and holders of that container.
fn both_name(agent: &Agent, id: &str, calls: f64) {
    agent.wait(&format!("the calls of {id}"), |agent| agent.sum(CALLS, id) >= calls);
    agent.wait(&format!("the holder of {id}"), |agent| agent.sum(HOLDERS, id) == 1.0);
    assert_eq!(agent.sum(CALLS, id), calls);
}

fn each_alone() {
    let Some(agent) = Agent::start() else { return };
    let mut callers = Vec::new();
    for hierarchy in HIERARCHIES {
        let id = groups::new_id();
        let mut groups = Groups::default();
        if groups.add(hierarchy, &format!("docker/{id}")) {
            callers.push((id, Caller::start(100, true, &groups), groups));
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
    let Some(agent) = Agent::start() else { return };
    let id = groups::new_id();
    let mut groups = Groups::default();
    let found = ["freezer", "systemd"].map(|hierarchy| groups.add(hierarchy, &format!("ecs/0123/{id}")));
    for hierarchy in ["pids", "memory", "unified"] {
        groups.add(hierarchy, SERVICE);
    }
    if found != [true; 2] {
        return skip("cgroups", "no hierarchy of cgroup v1 can be written");
    }
    let _caller = Caller::start(100, true, &groups);
    both_name(&agent, &id, 100.0);
}

fn innermost() {
    let Some(agent) = Agent::start() else { return };
    let (outer, inner) = (groups::new_id(), groups::new_id());
    let mut groups = Groups::default();
    let in_outer = groups.add("pids", &format!("docker/{outer}"));
    if !in_outer || !groups.add("cpu", &format!("docker/{outer}/docker/{inner}")) {
        return skip("cgroups", "no hierarchy of cgroup v1 can be written");
    }
    let _caller = Caller::start(100, true, &groups);
    both_name(&agent, &inner, 100.0);
    assert_eq!(agent.sum(CALLS, &outer), 0.0);
}

/// None of them lives long enough to be looked at.
fn short_lived() {
    let Some(agent) = Agent::start() else { return };
    for hierarchy in ["memory", "freezer"] {
        let id = groups::new_id();
        let mut groups = Groups::default();
        if !groups.add(hierarchy, &format!("docker/{id}")) {
            skip("cgroups", "no hierarchy of cgroup v1 can be written");
            continue;
        }
        for _ in 0..20 {
            drop(Caller::start(5, false, &groups));
        }
        agent.wait(&format!("the calls of {id} by {hierarchy}"), |agent| {
            agent.sum(CALLS, &id) >= 100.0
        });
        assert_eq!(agent.sum(CALLS, &id), 100.0);
    }
}

/// The kernel is to tell them apart although `pids` and `memory` do not.
fn shared() {
    let Some(agent) = Agent::start() else { return };
    let ids = [groups::new_id(), groups::new_id()];
    // Callers end before their groups.
    let mut all = Vec::new();
    let mut callers = Vec::new();
    for (id, calls) in ids.iter().zip([100, 230]) {
        let mut groups = Groups::default();
        for hierarchy in ["pids", "memory", "unified"] {
            groups.add(hierarchy, SERVICE);
        }
        if !groups.add("systemd", &format!("docker/{id}")) {
            return skip("cgroups", "systemd's hierarchy cannot be written");
        }
        callers.push(Caller::start(calls, true, &groups));
        all.push(groups);
    }
    both_name(&agent, &ids[0], 100.0);
    both_name(&agent, &ids[1], 230.0);
    drop(callers);
}
