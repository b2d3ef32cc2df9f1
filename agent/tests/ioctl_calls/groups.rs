//! Calls stand under the control group in which they were made, whatever its path is or becomes; and under the command that
//! was passed.

use std::path::PathBuf;

use skip_test::skip;

use crate::pods::Pod;
use crate::seen::Agent;
use crate::tests::{CALLS, call_by, caller};

pub(crate) const TESTS: [(&str, fn()); 5] = [
    ("a_group_deep_inside_a_pods_container_is_that_pods", deep),
    (
        "a_group_deep_inside_a_pods_container_that_is_gone_costs_no_call",
        deep_and_gone,
    ),
    ("a_renamed_control_group_has_its_new_name", renamed),
    ("every_number_is_a_command_of_its_own", any_command),
    (
        "a_flood_of_commands_in_one_control_group_folds_none_of_another",
        flood_of_commands,
    ),
];

/// A control group inside a pod's, with the name of a container that is known by nothing but its id.
struct Inner {
    id: String,
    groups: Removed,
}

/// Control groups that are removed when the test ends, however it ends, in this order.
struct Removed(Vec<PathBuf>);

impl Drop for Removed {
    fn drop(&mut self) {
        for group in &self.0 {
            std::fs::remove_dir(group).ok();
        }
    }
}

impl Inner {
    /// Its path from the root of the hierarchy has that length in bytes, by groups of names of two bytes a character in
    /// between.
    fn new(pod: &Pod, number: u32, length: usize) -> Self {
        let id = format!("{:056x}{number:08x}", 0xdee9_u32);
        let last = format!("docker-{id}.scope");
        let mut group = pod.group.clone();
        let mut groups = Vec::new();
        let mount = [
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup",
        ]
        .into_iter()
        .find(|mount| pod.group.starts_with(mount))
        .unwrap();
        loop {
            let used = group.as_os_str().len() - mount.len() + 1 + last.len();
            let Some(missing) = length.checked_sub(used).filter(|missing| *missing > 0) else {
                break;
            };
            // A separator and a name; what is left is enough for another one, or nothing.
            let mut name = (missing - 1).min(200);
            if (1..=2).contains(&(missing - 1 - name)) {
                name -= 4;
            }
            let name = format!("{}{}", "\u{e4}".repeat(name / 2), "x".repeat(name % 2));
            group.push(name);
            groups.push(group.clone());
        }
        group.push(last);
        groups.push(group.clone());
        assert_eq!(group.as_os_str().len() - mount.len(), length);
        std::fs::create_dir_all(&group).unwrap();
        groups.reverse();
        let groups = Removed(groups);
        Self { id, groups }
    }

    fn group(&self) -> &str {
        self.groups.0[0].to_str().unwrap()
    }
}

fn call(group: &str, calls: u32) {
    call_by(&std::env::current_exe().unwrap(), group, calls);
}

/// Lengths of paths around the longest that the programs report, and around that of the kernel's own buffer.
const LENGTHS: [usize; 7] = [400, 510, 511, 512, 700, 1023, 1100];

fn deep() {
    let Some(agent) = Agent::start(&[]) else { return };
    let Some(pod) = Pod::any() else { return };
    let inner: Vec<Inner> = (0..)
        .zip(LENGTHS)
        .map(|(number, length)| Inner::new(&pod, number, length))
        .collect();
    for (inner, calls) in inner.iter().zip(10..) {
        call(inner.group(), calls);
    }
    let of_pod = [("k8s.pod.name", pod.name.as_str())];
    let all: f64 = (10..).take(LENGTHS.len()).map(f64::from).sum();
    agent.wait("the calls of all groups in the pod's container", |agent| {
        (agent.sum(CALLS, &of_pod) >= all).then_some(())
    });
    assert_eq!(agent.sum(CALLS, &of_pod), all);
    for inner in &inner {
        assert_eq!(
            agent.sum(CALLS, &[("container.id", &inner.id)]),
            0.0,
            "a name that it has made"
        );
    }
}

fn deep_and_gone() {
    let Some(agent) = Agent::start(&[]) else { return };
    let Some(pod) = Pod::any() else { return };
    // A name that no other program on this machine has.
    let folder = tempfile::tempdir().unwrap();
    let name = format!("deep-{}", std::process::id());
    let program = folder.path().join(&name);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    call_by(&program, pod.group.to_str().unwrap(), 1);
    let of_pod = [("k8s.pod.name", pod.name.as_str())];
    agent.wait("the pod's own call", |agent| {
        (agent.sum(CALLS, &of_pod) >= 1.0).then_some(())
    });
    for (number, length) in (100..).zip(LENGTHS) {
        let inner = Inner::new(&pod, number, length);
        call_by(&program, inner.group(), 5);
    }
    let own = [("process.executable.name", name.as_str())];
    let all = 1.0 + 5.0 * LENGTHS.len() as f64;
    agent.wait("all calls, whatever is known of their groups", |agent| {
        (agent.sum(CALLS, &own) >= all).then_some(())
    });
    agent.readings(3);
    assert_eq!(agent.sum(CALLS, &own), all);
    assert!(agent.sum(CALLS, &of_pod) <= all, "no call is counted twice");
}

fn renamed() {
    let Some(agent) = Agent::start(&[]) else { return };
    let Some(mount) = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"]
        .into_iter()
        .map(PathBuf::from)
        .find(|mount| mount.join("cgroup.clone_children").exists())
    else {
        return skip("cgroups", "this machine has no hierarchy of cgroup v1");
    };
    let id = |number: u32| format!("{:056x}{number:08x}", std::process::id());
    let top = mount.join("docker");
    let [first, second, third] = [1, 2, 3].map(|number| top.join(id(number)));
    let _removed = Removed(
        [&first, &second, &third]
            .map(|group| [group.join("inner"), group.clone()])
            .concat(),
    );
    let of = |number: u32| {
        let calls = agent.sum(CALLS, &[("container.id", &id(number))]);
        calls as u32
    };
    let wait = |number: u32, calls: u32| {
        agent.wait("the calls of a container", |_| (of(number) >= calls).then_some(()));
        assert_eq!(of(number), calls, "{number}");
    };
    std::fs::create_dir_all(first.join("inner")).unwrap();
    call(first.to_str().unwrap(), 10);
    wait(1, 10);
    std::fs::rename(&first, &second).unwrap();
    // The group itself, one in it that was known by its path, and another that gets the former name.
    call(second.to_str().unwrap(), 20);
    call(second.join("inner").to_str().unwrap(), 2);
    std::fs::create_dir(&first).unwrap();
    call(first.to_str().unwrap(), 5);
    // What it did before stays with its former name.
    wait(2, 22);
    std::fs::rename(&second, &third).unwrap();
    call(third.to_str().unwrap(), 3);
    wait(3, 3);
    wait(1, 15);
}

fn any_command() {
    let Some(agent) = Agent::start(&[]) else { return };
    // The largest number, its neighbour, and none at all.
    let commands = [(u32::MAX, 7), (u32::MAX - 1, 5), (0, 3)];
    for (command, calls) in commands {
        let output = caller(&["command", &command.to_string(), &calls.to_string()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    for (command, calls) in commands {
        let own = [("accel.ioctl.command", &*format!("0x{command:08x}"))];
        agent.wait("the calls of a command", |agent| {
            (agent.sum(CALLS, &own) >= f64::from(calls)).then_some(())
        });
        assert_eq!(agent.sum(CALLS, &own), f64::from(calls));
    }
    assert_eq!(agent.sum(CALLS, &[("accel.ioctl.command", "_OTHER")]), 0.0);
}

fn flood_of_commands() {
    /// Of one control group are told apart (`docs/limits.md`).
    const MOST: u32 = 512;
    const MORE: u32 = 300;
    let Some(agent) = Agent::start(&[]) else { return };
    let (Some(flooded), Some(other)) = (Pod::any(), Pod::any()) else {
        return;
    };
    let make = |pod: &Pod, first: u32, count: u32| {
        let group = pod.group.to_str().unwrap();
        let output = caller(&["commands", group, &first.to_string(), &count.to_string()]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let sum = |agent: &Agent, pod: &Pod, command: &str| {
        let of = [("k8s.pod.name", pod.name.as_str()), ("accel.ioctl.command", command)];
        agent.sum(CALLS, &of[..if command.is_empty() { 1 } else { 2 }])
    };
    make(&flooded, 0xabcd_0000, MOST + MORE);
    agent.wait("every call of the flood", |agent| {
        (sum(agent, &flooded, "") >= f64::from(MOST + MORE)).then_some(())
    });
    assert_eq!(sum(&agent, &flooded, "_OTHER"), f64::from(MORE), "of the flood");
    make(&other, 0xabcd_f000, 2);
    agent.wait("the calls of the other group", |agent| {
        (sum(agent, &other, "") >= 2.0).then_some(())
    });
    assert_eq!(sum(&agent, &other, "0xabcdf000"), 1.0);
    assert_eq!(sum(&agent, &other, "0xabcdf001"), 1.0);
    agent.wait("the count of what was folded", |agent| {
        let folded = agent.sum("agent.ioctl.lost", &[("agent.reason", "folded")]);
        (folded >= f64::from(MORE)).then_some(())
    });
}
