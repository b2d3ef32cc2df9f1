//! What stays when device nodes go, and when more containers come than can have series.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::Value;
use skip_test::skip;

use crate::pods::Pod;
use crate::seen::{Agent, command};
use crate::tests::{CALLS, caller, executable};

/// A node of a device that every machine has, under another name. Removed when the test ends.
struct Node(PathBuf);

/// Major and minor numbers of `/dev/full` and `/dev/zero`.
const FULL: (u32, u32) = (1, 7);
const ZERO: (u32, u32) = (1, 5);

impl Node {
    /// `None` if nodes cannot be made here.
    fn new(name: &str, number: (u32, u32)) -> Option<Self> {
        let node = Self(PathBuf::from(format!("/dev/accelscope-{name}-{}", std::process::id())));
        if let Err(error) = node.make(number) {
            skip("mknod", &error.to_string());
            return None;
        }
        Some(node)
    }

    fn make(&self, (major, minor): (u32, u32)) -> rustix::io::Result<()> {
        mknodat(
            CWD,
            &self.0,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o600),
            makedev(major, minor),
        )
    }

    fn remove(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// An agent that watches these nodes and no other.
fn watching(nodes: &[&Node]) -> Option<Agent> {
    let extra: Vec<String> = nodes.iter().map(|node| node.0.display().to_string()).collect();
    watching_paths(&extra)
}

fn watching_paths(extra: &[String]) -> Option<Agent> {
    let mut command = command(env!("CARGO_BIN_EXE_agent"), &[]);
    command.args(["--set", &format!("ioctl.extra_devices={}", extra.join(","))]);
    Agent::watching(command)
}

/// A process that does something for each line that it gets. Killed when the test ends.
pub(crate) struct Paced {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Paced {
    pub(crate) fn new(device: &Path, groups: &str) -> Self {
        Self::of(&["paced", device.to_str().unwrap(), groups])
    }

    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::by(&std::env::current_exe().unwrap(), arguments)
    }

    /// By a copy of this program.
    pub(crate) fn by(program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            // Its own name need not be text.
            .arg0("caller")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    pub(crate) fn call(&mut self, times: usize) {
        for _ in 0..times {
            self.send();
            self.says("made");
        }
    }

    pub(crate) fn send(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub(crate) fn says(&mut self, expected: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected);
    }

    /// Waits for its own end.
    pub(crate) fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn calls(agent: &Agent, node: &Node, count: f64) {
    let executable = executable();
    let own = [
        ("process.executable.name", executable.as_str()),
        ("accel.device.name", node.name()),
    ];
    agent.wait("its calls", |agent| (agent.sum(CALLS, &own) >= count).then_some(()));
    assert_eq!(agent.sum(CALLS, &own), count);
}

/// Waits until a node's device is watched no longer, and for three more readings.
fn gone(agent: &Agent, node: &Node) {
    let device = [("accel.device.name", node.name())];
    agent.wait("the device to be gone", |agent| {
        let held = agent.matching("accel.device.processes", &device);
        held.iter().all(|line| line["value"].is_null()).then_some(())
    });
    agent.readings(3);
}

fn none_ended(agent: &Agent) {
    for name in [CALLS, "accel.ioctl.duration", "accel.ioctl.inflight"] {
        assert_eq!(agent.ended(name, &[]), [Value::Null; 0]);
    }
    assert_eq!(agent.decreased(), [""; 0]);
}

pub(crate) fn last_device() {
    let Some(node) = Node::new("last", FULL) else { return };
    let Some(agent) = watching(&[&node]) else { return };
    Paced::new(&node.0, "").call(15);
    calls(&agent, &node, 15.0);
    node.remove();
    gone(&agent, &node);
    calls(&agent, &node, 15.0);
    none_ended(&agent);
    // The agent's own readings, too, neither come nor go.
    assert_eq!(agent.ended("agent.ioctl.memory.usage", &[]), [Value::Null; 0]);
    // The driver is loaded again, and has another number.
    node.make(ZERO).unwrap();
    let mut again = Paced::new(&node.0, "");
    let device = [("accel.device.name", node.name())];
    agent.wait("the device to be back", |agent| {
        (agent.sum("accel.device.processes", &device) == 1.0).then_some(())
    });
    again.call(5);
    calls(&agent, &node, 20.0);
    none_ended(&agent);
}

pub(crate) fn all_devices() {
    let Some((first, second)) = Node::new("first", FULL).zip(Node::new("second", ZERO)) else {
        return;
    };
    let Some(agent) = watching(&[&first, &second]) else {
        return;
    };
    let mut of_first = Paced::new(&first.0, "");
    let mut of_second = Paced::new(&second.0, "");
    of_first.call(3);
    of_second.call(4);
    calls(&agent, &first, 3.0);
    calls(&agent, &second, 4.0);
    first.remove();
    gone(&agent, &first);
    of_second.call(2);
    calls(&agent, &second, 6.0);
    second.remove();
    gone(&agent, &second);
    calls(&agent, &first, 3.0);
    calls(&agent, &second, 6.0);
    none_ended(&agent);
}

pub(crate) fn crowd() {
    /// More containers than attribution keeps the names of.
    const CONTAINERS: u32 = 4_400;
    let Some(agent) = Agent::start(&["--set", "ioctl.period=200ms", "--set", "otlp.interval=1s"]) else {
        return;
    };
    let Some(pod) = Pod::any() else { return };
    let of_pod = [("k8s.pod.name", pod.name.as_str())];
    let mut lasting = Paced::new(Path::new("/dev/full"), pod.group.to_str().unwrap());
    lasting.call(7);
    agent.wait("the pod's calls", |agent| {
        (agent.sum(CALLS, &of_pod) == 7.0).then_some(())
    });
    let above = pod.group.parent().unwrap();
    let prefix = format!(
        "{}/cri-containerd-{:032x}{:08x}",
        above.display(),
        0xc_u32,
        std::process::id()
    );
    let flood = caller(&["crowd", &prefix, &CONTAINERS.to_string()]).output().unwrap();
    assert!(flood.status.success(), "{}", String::from_utf8_lossy(&flood.stderr));
    let made = f64::from(CONTAINERS);
    let executable = executable();
    // The limit of series adds its own fold.
    let overflow = |agent: &Agent| -> f64 {
        let all = agent.all(CALLS);
        let over = all
            .iter()
            .filter(|line| line["attributes"]["otel.metric.overflow"] == true);
        over.filter_map(|line| line["value"].as_f64()).sum()
    };
    let counted = |agent: &Agent| {
        let own = agent.sum(CALLS, &[("process.executable.name", executable.as_str())]);
        own + agent.sum(CALLS, &[("process.executable.name", "_OTHER")]) + overflow(agent)
    };
    let lost = |agent: &Agent, reason: &str| agent.sum("agent.ioctl.lost", &[("agent.reason", reason)]);
    for more in 1..=6 {
        lasting.call(1);
        let expected = 7.0 + f64::from(more);
        agent.wait("the pod's further calls", |agent| {
            (agent.sum(CALLS, &of_pod) == expected).then_some(())
        });
    }
    agent.wait("every call", |agent| {
        (counted(agent) + lost(agent, "key_full") >= made + 13.0).then_some(())
    });
    assert_eq!(agent.ended(CALLS, &of_pod), [Value::Null; 0]);
    assert_eq!(agent.decreased(), [""; 0]);
    assert!(lost(&agent, "owner_folded") > 0.0);
    let log = agent.errors();
    let told = log.iter().filter(|line| line.contains("owner_folded"));
    assert_eq!(told.count(), 1, "{log:#?}");
}

/// More devices than the programs have room for.
pub(crate) fn too_many() {
    /// What they have room for, and those that are beyond.
    const ROOM: u32 = 256;
    const BEYOND: u32 = 45;
    let folder = PathBuf::from(format!("/dev/accelscope-many-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let nodes: Vec<Node> = (0..ROOM + BEYOND)
        .map(|number| Node(folder.join(format!("unit{number}"))))
        .collect();
    let numbers = std::iter::once(FULL).chain((1_000..).map(|minor| (1, minor)));
    let made = nodes
        .iter()
        .zip(numbers)
        .try_for_each(|(node, number)| node.make(number));
    let agent = match made {
        Ok(()) => watching_paths(
            &nodes
                .iter()
                .map(|node| node.0.display().to_string())
                .collect::<Vec<_>>(),
        ),
        Err(error) => {
            skip("mknod", &error.to_string());
            None
        }
    };
    let told = |agent: &Agent| -> Vec<String> {
        let log = agent.errors();
        log.into_iter().filter(|line| line.contains("45 of 301")).collect()
    };
    if let Some(agent) = &agent {
        let watched = |scan: bool| -> f64 {
            let lines = agent.all("agent.ioctl.devices");
            let by = lines
                .iter()
                .filter(|line| (line["attributes"]["agent.ioctl.hook"] == "scan") == scan);
            by.filter_map(|line| line["value"].as_f64()).sum()
        };
        assert_eq!((watched(false), watched(true)), (256.0, 45.0));
        Paced::new(&nodes[0].0, "").call(3);
        calls(agent, &nodes[0], 3.0);
        agent.readings(2);
        let told = told(agent);
        assert_eq!(told.len(), 1, "{:#?}", agent.errors());
        assert!(told[0].contains("ioctl.extra_devices"), "what can be done: {}", told[0]);
        // One fewer is news, and again one line.
        nodes[300].remove();
        agent.wait("one fewer", |_| (watched(true) == 44.0).then_some(()));
    }
    drop((agent, nodes));
    std::fs::remove_dir(&folder).unwrap();
}
