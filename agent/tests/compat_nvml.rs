//! Compatibility views of GPU exporters, from the library to their listeners.
#![cfg(feature = "nvidia")]
// The state of a GPU is one long `json!`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod nvml_support;
mod program_support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use free_port::free_address;
use nvml_support::{Fake, GIB, h100, mig, uuid};
use program_support::{Logged, PATIENCE, Running, get, wait_for};
use serde_json::{Value, json};

/// The exposition, as soon as it contains that line.
#[track_caller]
fn until(address: SocketAddr, line: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = get(address, "/metrics").map(|answer| answer.body).unwrap_or_default();
        if text.lines().any(|found| found == line) {
            return text;
        }
        assert!(Instant::now() < until, "{line} is not in\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An idle process with a name of its own.
fn sleeper() -> Running {
    Running(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
}

/// The label's value in that line.
fn label<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

fn agent(fake: &Fake, processes: SocketAddr, node: SocketAddr) -> Running {
    Running::start(command(fake, processes, node))
}

fn command(fake: &Fake, processes: SocketAddr, node: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().env("K8S_NODE_NAME", "node-1").stdin(Stdio::null());
    for set in [
        "otlp.enabled=false".to_owned(),
        "http.enabled=false".to_owned(),
        "hailo.enabled=false".to_owned(),
        "ascend.enabled=false".to_owned(),
        "kubelet.enabled=false".to_owned(),
        "nvidia.period=1s".to_owned(),
        format!("nvidia.library={}", fake.library().display()),
        format!("compat.gpu_process_exporter.listen={processes}"),
        format!("compat.system_info_exporter.listen={node}"),
    ] {
        command.args(["--set", &set]);
    }
    command
}

#[test]
fn what_runs_on_the_gpus_is_shown_while_it_runs() {
    let mut gpus = vec![h100(0), h100(1)];
    let sleeper = sleeper();
    let pid = sleeper.0.id();
    gpus[0]["compute"] = json!([{"pid": pid, "memory": 20 * GIB}]);
    let mut fake = Fake::new(gpus);
    let (processes, node) = (free_address(), free_address());
    let _agent = agent(&fake, processes, node);

    let text = until(processes, r#"gpu_process_count{gpu="0",gi_id="none",ci_id="none"} 1"#);
    assert!(text.lines().any(|line| line == "gpu_total_processes 1"), "{text}");
    let info = text
        .lines()
        .find(|line| line.starts_with("gpu_process_info{node=\"node-1\",gpu=\"0\""))
        .unwrap();
    assert_eq!(label(info, ",pid"), pid.to_string());
    assert_eq!(label(info, "command"), "sleep");
    assert_eq!(label(info, "gpu_memory"), "20480MiB");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let started: u64 = label(info, "start_time").parse().unwrap();
    assert!((now - 600..=now + 1).contains(&started), "{info} at {now}");
    assert!(
        text.contains("gpu_process_info{node=\"node-1\",gpu=\"1\",pid=\"none\""),
        "{text}"
    );
    let share = text
        .lines()
        .find(|line| line.starts_with("gpu_process_memory_utilization{"));
    assert!(share.unwrap().ends_with(" 25"), "{share:?}");

    let text = until(node, "hw_gpu_used_count{node=\"node-1\"} 2");
    let of = |index: usize| {
        let uuid = uuid(index);
        format!("{{node=\"node-1\",gpu_index=\"{index}\",gpu_name=\"NVIDIA H100 80GB HBM3\",gpu_uuid=\"{uuid}\"}}")
    };
    for line in [
        "hw_gpu_count{node=\"node-1\"} 2".to_owned(),
        "hw_gpu_type_count{node=\"node-1\",gpu_type=\"NVIDIA H100 80GB HBM3\"} 2".to_owned(),
        format!("hw_gpu_memory_total_bytes{} {}", of(0), 80 * GIB),
        format!("hw_gpu_memory_used_bytes{} {}", of(1), 20 * GIB),
        format!("hw_gpu_memory_free_bytes{} {}", of(1), 59 * GIB),
        format!("hw_gpu_utilization_percent{} 41", of(1)),
        format!("hw_gpu_temperature_celsius{} 45", of(0)),
        format!("hw_gpu_power_draw_watts{} 250", of(0)),
        format!("hw_gpu_power_limit_watts{} 700", of(1)),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }

    fake.change(|state| state["devices"][0]["compute"] = json!([]));
    until(processes, "gpu_total_processes 0");
    // Neither utilization nor memory: the rule of the replaced tool's document.
    fake.change(|state| {
        let values = &mut state["devices"][0]["values"];
        values["nvmlDeviceGetUtilizationRates"] = json!([0, 0]);
        values["nvmlDeviceGetMemoryInfo"] = json!([80 * GIB, 79 * GIB, 0, GIB]);
    });
    until(node, "hw_gpu_used_count{node=\"node-1\"} 1");
}

/// `/node` of the view, as soon as it is like that.
#[track_caller]
fn until_node(address: SocketAddr, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || {
        let answer = get(address, "/node")?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).ok().filter(&is_so)
    })
}

#[test]
fn gpus_that_are_not_known_are_no_zero() {
    let mut gpus = vec![h100(0), h100(1)];
    // No utilization while it is divided, and a name that a script must be able to read.
    gpus[1]["values"]
        .as_object_mut()
        .unwrap()
        .remove("nvmlDeviceGetUtilizationRates");
    gpus[1]["values"]["nvmlDeviceGetName"] = json!("NVIDIA \"H\\100\"");
    let fake = Fake::new(gpus);
    let (processes, node) = (free_address(), free_address());
    let agent = agent(&fake, processes, node);
    let known = until_node(node, "two GPUs", |node| node["gpu_count"] == 2);
    assert_eq!(
        known["gpu_type_counts"],
        json!({"NVIDIA \"H\\100\"": 1, "NVIDIA H100 80GB HBM3": 1})
    );
    assert_eq!(
        known["gpu_devices"][0],
        json!({
            "index": 0, "name": "NVIDIA H100 80GB HBM3", "uuid": uuid(0), "memory_total_mb": 81920,
            "memory_used_mb": 19456, "memory_free_mb": 61440, "utilization_percent": 40, "temperature_celsius": 45,
            "power_draw_watts": 250, "power_limit_watts": 700,
        })
    );
    assert_eq!(known["gpu_devices"][1]["utilization_percent"], Value::Null);
    let text = get(node, "/metrics").unwrap().body;
    assert_eq!(text.matches("\nhw_gpu_utilization_percent{").count(), 1, "{text}");
    assert!(text.contains(r#"gpu_name="NVIDIA \"H\\100\"""#), "{text}");
    drop(agent);

    // The driver is there, and its library does not answer.
    let fake = Fake::new(Vec::new());
    std::fs::write(fake.library(), "no library").unwrap();
    let (processes, node) = (free_address(), free_address());
    let agent = Logged::start(command(&fake, processes, node));
    agent.wait_for("cannot be loaded");
    let unknown = until_node(node, "an answer", |_| true);
    for key in ["gpu_count", "gpu_used_count"] {
        assert_eq!(unknown.get(key), Some(&Value::Null), "{unknown}");
    }
    assert_eq!(
        (&unknown["gpu_devices"], &unknown["gpu_type_counts"]),
        (&json!([]), &json!({}))
    );
    let text = get(node, "/metrics").unwrap().body;
    assert!(!text.contains("hw_gpu_"), "{text}");
}

#[test]
fn a_process_in_an_instance_of_a_gpu_has_its_ids_and_its_share_of_the_instance() {
    let sleeper = sleeper();
    let pid = sleeper.0.id();
    let mut gpu = h100(0);
    let mut instance = mig(0, 2, 0, "3g.40gb", [3, 3], 40);
    let process = json!([{"pid": pid, "memory": 10 * GIB, "gi": 2, "ci": 0}]);
    instance["compute"] = process.clone();
    gpu["compute"] = process;
    gpu["mig"] = json!({"mode": 1, "slots": [instance]});
    let fake = Fake::new(vec![gpu]);
    let (processes, node) = (free_address(), free_address());
    let _agent = agent(&fake, processes, node);
    let text = until(processes, r#"gpu_process_count{gpu="0",gi_id="2",ci_id="0"} 1"#);
    assert!(text.lines().any(|line| line == "gpu_total_processes 1"), "{text}");
    let share = text
        .lines()
        .find(|line| line.starts_with("gpu_process_memory_utilization{"));
    assert!(share.unwrap().ends_with(" 25"), "{share:?}");
    assert!(
        !text.contains("\ngpu_process_utilization{"),
        "the driver tells none: {text}"
    );
}
