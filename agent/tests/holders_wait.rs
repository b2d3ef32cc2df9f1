//! Containers that hold a device and wait for their CPU quota and for memory, beside the program. As root, where control groups
//! can be made.
#![cfg(all(feature = "holders", feature = "ioctl", feature = "hailo"))]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod group_support;
mod program_support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use program_support::{PATIENCE, Running};
use serde_json::Value;

/// Share of the time from which on a wait is named.
const MUCH: f64 = 0.1;

/// A host with the real processes and control groups, a file system of its own and a Hailo with the number of `/dev/full`.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/fs")).unwrap();
        for real in ["proc", "dev", "sys/fs/cgroup"] {
            symlink(Path::new("/").join(real), root.path().join(real)).unwrap();
        }
        let device = root.path().join("sys/class/hailo_chardev/hailo0");
        fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("board_location", "0001:01:00.0"),
            ("dev", "1:7"),
            ("device_id", "1e60:2864"),
        ] {
            fs::write(device.join(name), value).unwrap();
        }
        Self(root)
    }

    /// What Docker keeps of a container.
    fn name(&self, id: &str, name: &str) {
        let folder = self.0.path().join("var/lib/docker/containers").join(id);
        fs::create_dir_all(&folder).unwrap();
        let state = format!(r#"{{"ID":"{id}","Name":"/{name}","Config":{{"Image":"test","Labels":{{}}}}}}"#);
        fs::write(folder.join("config.v2.json"), state).unwrap();
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command.args(arguments);
        let mut settings = vec![
            format!("host.root={}", self.0.path().display()),
            "ioctl.hooks=scan".to_owned(),
            "holders.period=1s".to_owned(),
        ];
        settings.extend(["ascend", "kubelet", "nvidia"].map(|source| format!("{source}.enabled=false")));
        for setting in settings {
            command.args(["--set", &setting]);
        }
        command
    }
}

/// A container of Docker: a group in each hierarchy of these controllers, and what runs in it.
struct Container {
    id: String,
    groups: Vec<PathBuf>,
    running: Vec<Running>,
}

impl Container {
    /// With these limits, each by its file in v1 and in v2. `None` where they cannot be set.
    fn new(legacy: &[(&str, &str, &str)], unified: &[(&str, &str)]) -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup");
        let id = group_support::new_id();
        let mut container = Self {
            id: id.clone(),
            groups: Vec::new(),
            running: Vec::new(),
        };
        let is_unified = top.join("cgroup.controllers").exists();
        let mounts: Vec<PathBuf> = if is_unified {
            vec![top.to_owned()]
        } else {
            let hierarchies = legacy.iter().map(|(controller, _, _)| *controller).chain(["unified"]);
            let mut mounts: Vec<PathBuf> = hierarchies
                .map(|name| top.join(name))
                .filter(|mount| mount.exists())
                .collect();
            mounts.dedup();
            mounts
        };
        for mount in mounts {
            let parent = mount.join("docker");
            if is_unified {
                fs::create_dir_all(&parent).ok()?;
                for group in [&mount, &parent] {
                    fs::write(group.join("cgroup.subtree_control"), "+cpu +memory +io").ok();
                }
            }
            let group = parent.join(&id);
            fs::create_dir_all(&group).ok()?;
            container.groups.push(group);
        }
        let files = legacy
            .iter()
            .filter(|_| !is_unified)
            .map(|(controller, file, value)| (top.join(controller).join("docker").join(&id).join(file), *value));
        let in_unified = unified.iter().filter(|_| is_unified);
        let in_unified = in_unified.map(|(file, value)| (top.join("docker").join(&id).join(file), *value));
        for (file, value) in files.chain(in_unified) {
            fs::write(file, value).ok()?;
        }
        Some(container)
    }

    /// Runs a script in the container, which holds `/dev/full`.
    fn run(&mut self, script: &str) {
        let enter: String = self
            .groups
            .iter()
            .map(|group| format!("echo $$ > {}/cgroup.procs; ", group.display()))
            .collect();
        let mut command = Command::new("sh");
        command.args(["-ec", &format!("{enter} exec 3</dev/full; {script}")]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        self.running.push(Running::start(command));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for running in &self.running {
            let group = rustix::process::Pid::from_child(&running.0);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        }
        self.running.clear();
        group_support::remove(&self.groups);
        // Not where another one is in it.
        for group in &self.groups {
            fs::remove_dir(group.parent().unwrap()).ok();
        }
    }
}

/// The lines of a running agent.
fn lines(agent: &mut Running) -> Receiver<Value> {
    let (send, lines) = channel();
    let output = BufReader::new(agent.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str(&line) else {
                continue;
            };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line that this is true of.
#[track_caller]
fn next(lines: &Receiver<Value>, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let line = lines
            .recv_timeout(left)
            .unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"));
        if is(&line) {
            return line;
        }
    }
}

#[test]
fn who_is_throttled_and_who_stalls_on_memory_show_as_such() {
    let quota = [
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        // Beside other tests it has its part of the CPU before they have theirs.
        ("cpu", "cpu.shares", "262144"),
    ];
    let memory = [("memory", "memory.limit_in_bytes", "16777216")];
    let throttled = Container::new(&quota, &[("cpu.max", "20000 100000"), ("cpu.weight", "10000")]);
    let stalled = Container::new(&memory, &[("memory.max", "16777216"), ("memory.swap.max", "0")]);
    let (Some(mut throttled), Some(mut stalled)) = (throttled, stalled) else {
        skip_test::skip(
            "cgroups",
            "no control group with a quota and one with a limit of memory can be made",
        );
        return;
    };
    let pressure = stalled
        .groups
        .iter()
        .any(|group| group.join("memory.pressure").exists());
    if !pressure {
        skip_test::skip("psi", "the kernel does not count pressure");
    }
    let host = Host::new();
    host.name(&throttled.id, "starved");
    host.name(&stalled.id, "squeezed");
    throttled.run("while :; do :; done");
    // More page cache than the group may have, so that each page is read again.
    let file = host.0.path().join("large");
    let file = file.display();
    stalled.run(&format!(
        "dd if=/dev/zero of={file} bs=1M count=64; while :; do cat {file} > /dev/null; done"
    ));
    for _ in 0..3 {
        stalled.run(&format!("while :; do cat {file} > /dev/null || :; done"));
    }

    let mut command = host.agent(&["--stdout", "--format", "json"]);
    command.stdout(Stdio::piped());
    let mut agent = Running::start(command);
    let lines = lines(&mut agent);
    let waits = |container: &Container, reason: &str, line: &Value| {
        let attributes = &line["attributes"];
        line["name"] == "accel.holder.waiting"
            && attributes["container.id"] == container.id.as_str()
            && attributes["accel.holder.reason"] == reason
            && line["value"].as_f64().is_some_and(|share| share > MUCH)
    };
    let line = next(&lines, "throttled holder", |line| waits(&throttled, "cpu_quota", line));
    assert_eq!(line["attributes"]["container.name"], "starved", "{line}");
    assert_eq!(line["attributes"].get("process.executable.name"), None, "{line}");
    let of = |name: &'static str, container: &Container| {
        let line = next(&lines, name, |line| {
            line["name"] == name && line["attributes"]["container.id"] == container.id.as_str()
        });
        line["value"].as_f64().unwrap()
    };
    assert!((of("accel.holder.cpu.limit", &throttled) - 0.2).abs() < 1e-9);
    assert!(of("accel.holder.cpu.throttled.time", &throttled) > 0.0);
    assert!(of("accel.holder.cpu.wait.time", &throttled) > 0.0);
    if pressure {
        let line = next(&lines, "stalled holder", |line| waits(&stalled, "memory", line));
        assert_eq!(line["attributes"]["container.name"], "squeezed", "{line}");
    }
    assert!(of("container.memory.usage", &stalled) > 0.0);
    assert!((of("accel.holder.memory.limit", &stalled) - 16_777_216.0).abs() < 1.0);
    drop(agent);

    let output = host
        .agent(&["--stdout", "--once", "--format", "table"])
        .output()
        .unwrap();
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(screen.contains("WAITS FOR"), "{screen}");
    let (_, holders) = screen.split_once("HOLDERS").unwrap_or_else(|| panic!("{screen}"));
    let starved = holders.lines().find(|line| line.trim_start().starts_with("starved"));
    let starved = starved.unwrap_or_else(|| panic!("{screen}"));
    assert!(starved.contains("cpu quota") && starved.contains("hailo0"), "{screen}");
}
