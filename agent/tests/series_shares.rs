//! One container's labels take no series of another: the agent on a made-up host with many processes.
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod nvml_support;
mod program_support;
mod receiver_support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use nvml_support::{Fake, h100};
use program_support::{Running, get, wait_for};
use receiver_support::Receiver;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// `limits.series_per_instrument` of these tests.
const LIMIT: usize = 200;

fn container(letter: char) -> String {
    String::from(letter).repeat(64)
}

/// A process of a container on the host.
fn process(host: &Path, pid: u32, cgroup: &str) {
    let directory = host.join(format!("proc/{pid}"));
    std::fs::create_dir_all(&directory).unwrap();
    let zeros = |count| vec!["0"; count].join(" ");
    let stat = format!("{pid} (infer) S {} 5000 {}\n", zeros(18), zeros(30));
    std::fs::write(directory.join("stat"), stat).unwrap();
    std::fs::write(directory.join("cgroup"), cgroup).unwrap();
    std::fs::write(directory.join("comm"), "infer\n").unwrap();
    symlink("/usr/bin/infer", directory.join("exe")).unwrap();
}

/// Processes of one container, in Docker's control group.
fn fill(host: &Path, pids: std::ops::Range<u32>, letter: char) {
    for pid in pids {
        process(
            host,
            pid,
            &format!("0::/system.slice/docker-{}.scope\n", container(letter)),
        );
    }
}

fn host() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    let own = host.path().join("proc/self");
    std::fs::create_dir_all(own.join("ns")).unwrap();
    std::fs::write(own.join("status"), "NSpid:\t1\n").unwrap();
    std::fs::write(own.join("cgroup"), "0::/\n").unwrap();
    symlink("pid:[4026531836]", own.join("ns/pid")).unwrap();
    std::fs::write(host.path().join("proc/stat"), "btime 1700000000\n").unwrap();
    process(host.path(), 1, "0::/init.scope\n");
    host
}

fn uses(pids: impl IntoIterator<Item = u32>) -> Vec<Value> {
    pids.into_iter().map(|pid| json!({"pid": pid, "memory": MIB})).collect()
}

fn agent(host: &Path, fake: &Fake, more: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null());
    let mut settings = fake.settings();
    settings.extend([
        format!("host.root={}", host.display()),
        format!("limits.series_per_instrument={LIMIT}"),
    ]);
    settings.extend(more.iter().cloned());
    for setting in settings {
        command.args(["--set", &setting]);
    }
    command
}

/// Of `accel_process_memory_usage_bytes` on a page: series by container, those of the overflow under "", and the sum.
fn memory(page: &str) -> (BTreeMap<String, usize>, f64) {
    let (mut counts, mut sum) = (BTreeMap::new(), 0.0);
    for line in page
        .lines()
        .filter(|line| line.starts_with("accel_process_memory_usage_bytes{"))
    {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        let owner = labels
            .split("container_id=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        *counts.entry(owner.unwrap_or_default().to_owned()).or_default() += 1;
        sum += value.parse::<f64>().unwrap();
    }
    (counts, sum)
}

#[test]
fn a_container_with_thousands_of_processes_takes_no_series_of_those_that_come_later() {
    let (host, receiver, address) = (host(), Receiver::start(), free_port::free_address());
    fill(host.path(), 1000..1300, 'a');
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["devices"][0]["compute"] = uses(1000..1300).into());
    let mut settings = receiver.settings();
    settings.push(format!("http.listen={address}"));
    let _agent = Running::start(agent(host.path(), &fake, &settings));
    let flood = container('a');
    let page = || get(address, "/metrics").map(|answer| memory(&answer.body));
    wait_for("the flood", || {
        let (counts, sum) = page()?;
        (counts.get(&flood) == Some(&LIMIT) && sum as u64 == 300 * MIB).then_some(())
    });
    // Another container, then a second one that floods as well.
    fill(host.path(), 5000..5003, 'b');
    fake.change(|state| state["devices"][0]["compute"] = uses((1000..1300).chain(5000..5003)).into());
    wait_for("the other container", || {
        let (counts, sum) = page()?;
        let is_whole = counts.get(&container('b')) == Some(&3) && sum as u64 == 303 * MIB;
        is_whole.then(|| assert_eq!(counts[&flood], LIMIT - 3))
    });
    fill(host.path(), 6000..6200, 'c');
    fake.change(|state| {
        state["devices"][0]["compute"] = uses((1000..1300).chain(6000..6200).chain(5000..5003)).into();
    });
    wait_for("equal shares of both that flood", || {
        let (counts, sum) = page()?;
        let (a, b, c) = (
            counts.get(&flood)?,
            counts.get(&container('b'))?,
            counts.get(&container('c'))?,
        );
        (a.abs_diff(*c) <= 1 && *b == 3 && a + b + c == LIMIT && sum as u64 == 503 * MIB).then_some(())
    });
    // Whoever has a series keeps it: nothing comes and goes any more.
    let ends = || {
        let mut points = receiver.of("accel.process.memory.usage");
        points.retain(|point| point.is_end);
        points.len()
    };
    let given_up = LIMIT - (LIMIT - 3) / 2;
    wait_for("the ends of what was given up", || {
        (ends() >= given_up - 1).then_some(())
    });
    let before = ends();
    let pushes = receiver.of("hw.power").len();
    wait_for("four more readings", || {
        (receiver.of("hw.power").len() >= pushes + 4).then_some(())
    });
    assert_eq!(ends(), before);
    assert!(
        receiver
            .of("accel.process.memory.usage")
            .iter()
            .all(|point| !(point.is_end && point.has(&[("container.id", &container('b'))]))),
        "a series of the small container ended"
    );
}

/// Every metric that has series of both containers has some of the smaller one, whatever comes first in the driver's list.
#[test]
fn the_first_reading_shows_every_container_in_every_metric() {
    let host = host();
    fill(host.path(), 1000..1300, 'a');
    fill(host.path(), 500..501, 'b');
    fill(host.path(), 9000..9001, 'c');
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| {
        state["devices"][0]["compute"] = uses((500..501).chain(1000..1300).chain(9000..9001)).into();
    });
    let output = agent(host.path(), &fake, &[])
        .args(["--stdout", "--once", "--format", "json"])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut overflows = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let point: Value = serde_json::from_str(line).unwrap();
        let attributes = &point["attributes"];
        if let Some(id) = attributes["container.id"].as_str() {
            let name = point["name"].as_str().unwrap().to_owned();
            seen.entry(name).or_default().insert(id.to_owned());
        }
        overflows += usize::from(attributes["otel.metric.overflow"] == true);
    }
    assert!(overflows > 0 && seen.len() >= 3, "{seen:?}");
    let all: BTreeSet<String> = ['a', 'b', 'c'].map(container).into();
    for (name, containers) in seen {
        assert_eq!(containers, all, "{name}");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("limits.series_per_instrument") && said.contains(&container('a')),
        "the log names who has the most: {said}"
    );
}

/// Whoever may start units, containers or pods within its own gets no more room for that.
#[test]
fn what_one_user_container_or_pod_has_within_it_takes_no_series_of_another() {
    let user = "/user.slice/user-1000.slice/user@1000.service";
    let (pod, id) = ("11111111-2222-3333-4444-555555555555", container('a'));
    let floods: [&dyn Fn(u32) -> String; 6] = [
        &|nth| format!("{user}/app.slice/run-u{nth}.service"),
        &|nth| format!("{user}/user.slice/libpod-{nth:064x}.scope/container"),
        &|nth| format!("/system.slice/docker-{id}.scope/docker/{nth:064x}"),
        &|nth| format!("/lxc.payload.builder/docker/{nth:064x}"),
        &|nth| format!("/kubepods/pod{pod}/{id}/{nth:064x}"),
        &|nth| format!("/kubepods/pod{pod}/{id}/kubepods/pod{nth:08x}-2222-3333-4444-555555555555/{nth:064x}"),
    ];
    for flood in floods {
        let host = host();
        for pid in 1000..1300 {
            process(host.path(), pid, &format!("0::{}\n", flood(pid)));
        }
        fill(host.path(), 5000..5100, 'b');
        let mut fake = Fake::new(vec![h100(0)]);
        fake.change(|state| state["devices"][0]["compute"] = uses((1000..1300).chain(5000..5100)).into());
        let output = agent(host.path(), &fake, &[])
            .args(["--stdout", "--once", "--format", "json"])
            .output()
            .unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let points = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let memory = points.filter(|point| point["name"] == "accel.process.memory.usage");
        let (mut own, mut all) = (0, 0);
        for point in memory {
            own += usize::from(point["attributes"]["container.id"] == container('b'));
            all += 1;
        }
        assert_eq!((own, all), (LIMIT / 2, LIMIT + 1), "beside {}", flood(1000));
    }
}
