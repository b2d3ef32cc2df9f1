//! Published values of calls.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use skip_test::skip;

use crate::pods::{Pod, Version};
use crate::seen::{Agent, command};

pub(crate) const CALLS: &str = "accel.ioctl.calls";
pub(crate) const DURATION: &str = "accel.ioctl.duration";

pub(crate) fn caller(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).stdout(Stdio::piped()).stdin(Stdio::piped());
    command
}

/// Runs a copy of this program to its end, which makes good calls.
pub(crate) fn call_by(program: &Path, group: &str, calls: u32) {
    let mut command = Command::new(program);
    command.args(["call", group, "1", &calls.to_string(), "0"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs a caller to its end. Returns the numbers of calls that it reports: good and bad ones.
fn call(groups: &[&Pod], threads: u32, good: u32, bad: u32) -> (f64, f64) {
    let groups: Vec<_> = groups.iter().map(|pod| pod.group.to_str().unwrap()).collect();
    let numbers = [threads, good, bad].map(|number| number.to_string());
    let output = caller(&["call", &groups.join(","), &numbers[0], &numbers[1], &numbers[2]])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (good, bad) = text.trim().split_once(' ').unwrap();
    (good.parse().unwrap(), bad.parse().unwrap())
}

pub(crate) fn pod_of_v1() {
    pod(Version::One);
}

pub(crate) fn pod_of_v2() {
    pod(Version::Two);
}

fn pod(version: Version) {
    let Some(agent) = Agent::start(&[]) else { return };
    let Some(pod) = Pod::new(version) else {
        return skip(
            "cgroups",
            &format!("this machine has no hierarchy of cgroup {version:?}"),
        );
    };
    let begun = Instant::now();
    let (good, bad) = call(&[&pod], 4, 2000, 500);
    let wall = begun.elapsed().as_secs_f64();
    pod.remove_groups();
    assert_eq!((good, bad), (8000.0, 2000.0));
    let of_pod = ("k8s.pod.name", pod.name.as_str());
    let is_there = |agent: &Agent| (agent.sum(CALLS, &[of_pod]) >= good + bad).then_some(());
    agent.wait("all calls of the pod", is_there);
    agent.readings(3);
    assert_eq!(agent.sum(CALLS, &[of_pod, ("error.type", "")]), good);
    assert_eq!(agent.sum(CALLS, &[of_pod, ("error.type", "ENOTTY")]), bad);
    assert_eq!(agent.sum(CALLS, &[of_pod]), good + bad, "nothing else");
    let calls = agent.matching(CALLS, &[of_pod]);
    for line in &calls {
        let of = &line["attributes"];
        assert_eq!(of["accel.device.name"], "full");
        assert_eq!(of["accel.device.family"], "other");
        assert_eq!(of["k8s.namespace.name"], "edge");
        assert_eq!(of["k8s.container.name"], "detector");
        assert!(
            of["process.executable.name"]
                .as_str()
                .unwrap()
                .starts_with("ioctl_calls")
        );
        assert!(of.get("process.pid").is_none(), "no series for each process: {line}");
    }
    // FIOCLEX and TIOCGWINSZ have no names in the table of another family.
    let commands: Vec<_> = calls
        .iter()
        .map(|line| line["attributes"]["accel.ioctl.command"].as_str().unwrap())
        .collect();
    assert!(
        commands.contains(&"0x00005451") && commands.contains(&"0x00005413"),
        "{commands:?}"
    );
    let durations = agent.matching(DURATION, &[of_pod]);
    assert_eq!(durations.len(), 1, "one for all commands");
    plausible(&durations[0], good + bad, 4.0 * wall);
}

/// Checks the count of durations, each above zero, with a sum of at most the threads' time.
fn plausible(histogram: &Value, count: f64, most: f64) {
    assert_eq!(histogram["count"].as_f64(), Some(count));
    let buckets: Vec<u64> = histogram["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_u64().unwrap())
        .collect();
    let bounds: Vec<f64> = histogram["bounds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_f64().unwrap())
        .collect();
    assert_eq!((buckets.len(), bounds.len()), (13, 12));
    assert_eq!(buckets.iter().sum::<u64>() as f64, count);
    let sum = histogram["sum"].as_f64().unwrap();
    assert!(sum > count * 1e-9 && sum < most, "{histogram}");
    // The sum is within the limits given by the bounds of the buckets.
    let least: f64 = buckets
        .iter()
        .zip(std::iter::once(&0.0).chain(&bounds))
        .map(|(n, bound)| *n as f64 * bound)
        .sum();
    assert!(sum >= least, "{sum} < {least}: {histogram}");
}

pub(crate) fn short_lived() {
    let Some(agent) = Agent::start(&[]) else { return };
    let versions = [Version::One, Version::Two];
    let mut pods: Vec<Pod> = Vec::new();
    for at in 0..10 {
        let version = versions[at % 2];
        match Pod::new(version).or_else(|| Pod::new(versions[(at + 1) % 2])) {
            Some(pod) => pods.push(pod),
            None => return skip("cgroups", "no hierarchy of control groups can be written"),
        }
    }
    for (at, pod) in pods.iter().enumerate() {
        for round in 0..20 {
            // Pods live longer than the agent needs to notice them, but possibly shorter than a drain's period.
            if round == 19 {
                agent.wait("the pod to be seen", |agent| {
                    (agent.sum(CALLS, &[("k8s.pod.name", &pod.name)]) > 0.0).then_some(())
                });
            }
            let children: Vec<Child> = (0..5)
                .map(|_| {
                    let group = pod.group.to_str().unwrap();
                    caller(&["call", group, "1", "3", "1"]).spawn().unwrap()
                })
                .collect();
            for mut child in children {
                assert!(child.wait().unwrap().success());
            }
        }
        // Half of them are removed at once, with their bundles.
        if at % 4 < 2 {
            pod.remove();
        }
    }
    let of_pod = |agent: &Agent, pod: &Pod| agent.sum(CALLS, &[("k8s.pod.name", &pod.name)]);
    agent.wait("every call to be attributed", |agent| {
        pods.iter().all(|pod| of_pod(agent, pod) >= 400.0).then_some(())
    });
    agent.readings(3);
    for pod in &pods {
        assert_eq!(of_pod(&agent, pod), 400.0, "{}", pod.name);
        let failed = agent.sum(CALLS, &[("k8s.pod.name", &pod.name), ("error.type", "ENOTTY")]);
        assert_eq!(failed, 100.0);
    }
    let all: Vec<Value> = agent.all(CALLS);
    let with_pod = |line: &&Value| line["attributes"].get("k8s.pod.name").is_some();
    assert_eq!(
        all.iter().filter(with_pod).count(),
        20,
        "two series a pod, however many processes"
    );
    assert_eq!(agent.decreased(), [""; 0]);
}

pub(crate) fn exact() {
    let Some(agent) = Agent::start(&[]) else { return };
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32) * 2;
    let (good, bad) = call(&[], threads, 0, 0);
    assert!(good > 1000.0 && bad > 200.0);
    let executable = executable();
    let own = ("process.executable.name", executable.as_str());
    agent.wait("all calls", |agent| {
        (agent.sum(CALLS, &[own]) >= good + bad).then_some(())
    });
    agent.readings(3);
    assert_eq!(agent.sum(CALLS, &[own, ("error.type", "")]), good);
    assert_eq!(agent.sum(CALLS, &[own, ("error.type", "ENOTTY")]), bad);
    let counts = agent.matching(DURATION, &[own]);
    let counts: f64 = counts.iter().filter_map(|line| line["count"].as_f64()).sum();
    assert_eq!(counts, good + bad);
    assert_eq!(agent.decreased(), [""; 0]);
}

/// Only calls of this program: others may call the same device.
pub(crate) fn executable() -> String {
    let executable = std::env::current_exe().unwrap();
    executable.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Killed when the test ends, however it ends.
pub(crate) struct Parked(pub(crate) Child);

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A caller that makes calls all the time.
pub(crate) fn busy(threads: u32) -> Parked {
    let mut child = Parked(caller(&["busy", &threads.to_string()]).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "busy\n");
    child
}

/// A caller with calls that do not return.
pub(crate) fn park(threads: u32, short: u32) -> (Parked, BufReader<std::process::ChildStdout>) {
    let mut child = caller(&["park", &threads.to_string(), &short.to_string()])
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "parked\n");
    (Parked(child), said)
}

pub(crate) fn parked() {
    let Some(agent) = Agent::start(&[]) else { return };
    let (mut child, mut said) = park(64, 10_000);
    let executable = executable();
    let own = &[("process.executable.name", executable.as_str())];
    let calls = |agent: &Agent| agent.sum(CALLS, own);
    let in_flight = |agent: &Agent| agent.sum("accel.ioctl.inflight", own);
    let age = |agent: &Agent| agent.sum("accel.ioctl.inflight.age.max", own);
    agent.wait("64 calls in flight", |agent| (in_flight(agent) == 64.0).then_some(()));
    agent.wait("all short calls", |agent| (calls(agent) >= 10_000.0).then_some(()));
    let begun = age(&agent);
    agent.wait("a growing age", |agent| (age(agent) > begun + 2.0).then_some(()));
    assert_eq!(in_flight(&agent), 64.0);
    assert_eq!(calls(&agent), 10_000.0, "what has not returned is no call yet");
    child.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "done\n");
    assert!(child.0.wait().unwrap().success());
    agent.wait("nothing in flight", |agent| {
        (in_flight(agent) == 0.0 && age(agent) == 0.0).then_some(())
    });
    agent.wait("all calls", |agent| (calls(agent) >= 10_064.0).then_some(()));
    agent.readings(3);
    assert_eq!(calls(&agent), 10_064.0);
    let [histogram] = &agent.matching(DURATION, own)[..] else {
        panic!("one for all")
    };
    assert_eq!(histogram["count"], 10_064);
    let slow = &histogram["buckets"].as_array().unwrap()[11..];
    let slow: u64 = slow.iter().filter_map(Value::as_u64).sum();
    assert_eq!(slow, 64, "each took more than two seconds: {histogram}");
}

pub(crate) fn killed() {
    let Some(agent) = Agent::start(&[]) else { return };
    let (mut child, _said) = park(8, 100);
    let executable = executable();
    let own = &[("process.executable.name", executable.as_str())];
    let in_flight = |agent: &Agent| agent.sum("accel.ioctl.inflight", own);
    agent.wait("8 calls in flight", |agent| (in_flight(agent) == 8.0).then_some(()));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    agent.wait("nothing in flight", |agent| (in_flight(agent) == 0.0).then_some(()));
    agent.wait("its calls", |agent| (agent.sum(CALLS, own) >= 108.0).then_some(()));
    agent.readings(3);
    assert_eq!(agent.sum(CALLS, own), 108.0);
    let failed = agent.sum(CALLS, &[own[0], ("error.type", "EFAULT")]);
    assert_eq!(failed, 8.0, "death ended them, and they did not succeed");
}

/// The least of the times that several tries take, up to the first one below this limit.
pub(crate) fn least(limit: Duration, mut took: impl FnMut() -> Duration) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..6 {
        least = least.min(took());
        if least < limit {
            break;
        }
    }
    least
}

pub(crate) fn quiet() {
    let Some(agent) = Agent::start(&["--set", "ioctl.period=1s"]) else {
        return;
    };
    let executable = executable();
    let own = &[("process.executable.name", executable.as_str())];
    let calls = |agent: &Agent| agent.sum(CALLS, own);
    call(&[], 1, 100, 0);
    agent.wait("the calls", |agent| (calls(agent) >= 100.0).then_some(()));
    let mut made = 100.0;
    // The fastest of several: the machine may stand still meanwhile.
    let took = least(Duration::from_secs(4), || {
        agent.wait("the agent to give up the keys", |agent| {
            (agent.sum("agent.ioctl.records", &[]) == 0.0).then_some(())
        });
        call(&[], 1, 100, 0);
        made += 100.0;
        let begun = Instant::now();
        agent.wait("the calls after a while", |agent| (calls(agent) >= made).then_some(()));
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(4), "less than the idle period: {took:?}");
    assert_eq!(calls(&agent), made);
    assert_eq!(agent.decreased(), [""; 0]);
}

pub(crate) fn once() {
    let busy = busy(1);
    let output = command(env!("CARGO_BIN_EXE_agent"), &["--once"]).output().unwrap();
    drop(busy);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let hook = lines
        .iter()
        .find(|line| line["name"] == "agent.ioctl.devices")
        .expect("the device");
    if hook["attributes"]["agent.ioctl.hook"] == "scan" {
        return skip("ebpf", &String::from_utf8_lossy(&output.stderr));
    }
    assert!(output.status.success());
    let mut by_error: BTreeMap<String, f64> = BTreeMap::new();
    let own = |line: &&Value| {
        line["name"] == CALLS && line["attributes"]["process.executable.name"].as_str() == Some(&executable())
    };
    for line in lines.iter().filter(own) {
        let error = line["attributes"]["error.type"].as_str().unwrap_or("none").to_owned();
        *by_error.entry(error).or_default() += line["value"].as_f64().unwrap();
    }
    assert!(by_error["none"] > 100.0 && by_error["ENOTTY"] > 20.0, "{by_error:?}");
}

pub(crate) fn unprivileged() {
    /// User id of `nobody`.
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skip("root", "only root can become another user");
    }
    // A place that every user may read.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("agent");
    std::fs::copy(env!("CARGO_BIN_EXE_agent"), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |mut command: Command| {
        command.uid(NOBODY).gid(NOBODY);
        command
    };
    let program = program.to_str().unwrap();
    let output = as_nobody(command(program, &["--once"])).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let agent = Agent::of(as_nobody(command(program, &[])));
    agent.wait("the agent to run", |agent| {
        let hook = agent.all("agent.ioctl.devices").pop()?;
        (hook["attributes"]["agent.ioctl.hook"] == "scan").then_some(())
    });
    let held = std::fs::File::open("/dev/full").unwrap();
    agent.readings(2);
    drop(held);
    assert!(!agent.all("agent.memory.usage").is_empty() || agent.id() != 0);
    let about = |line: &&String| line.contains("calls") && line.contains("WARN");
    let errors = agent.errors();
    let lines: Vec<_> = errors.iter().filter(about).collect();
    assert_eq!(lines.len(), 1, "one clear line, once: {errors:#?}");
    assert!(
        lines[0].contains("remedy="),
        "it says what would give more: {}",
        lines[0]
    );
}
