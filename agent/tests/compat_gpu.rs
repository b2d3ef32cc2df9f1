//! Compatibility views of GPU exporters, as a scraper and node-exporter read them.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Attribute, Attributes, Instrument, Resource, Series, Timestamp, Value, key};
use accelscope_export::compat::gpu_process_exporter::{self, PidFormat};
use accelscope_export::compat::system_info_exporter;
use accelscope_nvidia::catalogue::nvidia;
use accelscope_nvidia::catalogue::nvidia_parts;
use free_port::free_address;
use program_support::{Answer, PATIENCE, Running, get, wait_for};

const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

fn series(instrument: &'static Instrument, attributes: &[Attribute], value: f64) -> Series {
    Series {
        instrument,
        attributes: Arc::new(Attributes::new(attributes.to_vec())),
        value: Some(Value::Double(value)),
        time: Timestamp::from_unix_nanos(1),
        start: None,
    }
}

fn resource() -> Resource {
    let mut resource = Resource::default();
    resource.set("host.name", "not-this");
    resource.set("k8s.node.name", "node-1");
    resource
}

fn gpu(uuid: &str, index: i64, model: &str) -> Vec<Series> {
    let id = (key::HW_ID, uuid.into());
    let of = |instrument, value| series(instrument, std::slice::from_ref(&id), value);
    vec![
        series(
            &nvidia::DEVICE_INFO,
            &[
                id.clone(),
                (accelscope_nvidia::key::NVIDIA_GPU_INDEX, index.into()),
                (key::HW_MODEL, model.into()),
            ],
            1.0,
        ),
        of(&hw::GPU_MEMORY_LIMIT, 80.0 * GIB),
        of(&hw::GPU_MEMORY_USAGE, 8.0 * GIB),
        of(&nvidia::MEMORY_RESERVED, GIB),
        of(&nvidia_parts::PROCESSES, 1.0),
    ]
}

fn process(uuid: &str, pid: i64, more: &[Attribute], memory: Option<f64>, sm: Option<f64>) -> Vec<Series> {
    let identity = [
        &[
            (key::HW_ID, uuid.into()),
            (key::PROCESS_PID, pid.into()),
            (key::PROCESS_EXECUTABLE_NAME, "python3.11".into()),
        ],
        more,
    ]
    .concat();
    let mut all = Vec::new();
    all.extend(memory.map(|bytes| series(&accel::PROCESS_MEMORY_USAGE, &identity, bytes)));
    for (task, share) in [("general", sm), ("encoder", Some(0.9))] {
        let attributes = [identity.as_slice(), &[(key::HW_GPU_TASK, task.into())]].concat();
        all.extend(share.map(|share| series(&accel::PROCESS_UTILIZATION, &attributes, share)));
    }
    all.push(series(&accel::PROCESS_START_TIME, &identity, 1_700_000_000.25));
    all
}

fn pod() -> [Attribute; 3] {
    [
        (key::K8S_POD_NAME, "train-0".into()),
        (key::K8S_NAMESPACE_NAME, "team \"a\"".into()),
        (key::K8S_CONTAINER_NAME, "main".into()),
    ]
}

/// A GPU with a pod's process and another, an idle one, and one that ended.
fn machine() -> Vec<Series> {
    let mut all = gpu("GPU-b", 1, "NVIDIA H100");
    all.extend(gpu("GPU-a", 0, "NVIDIA A100"));
    for (task, share) in [("general", 0.57), ("encoder", 0.1)] {
        let attributes = [(key::HW_ID, "GPU-a".into()), (key::HW_GPU_TASK, task.into())];
        all.push(series(&hw::GPU_UTILIZATION, &attributes, share));
    }
    for (place, celsius) in [("gpu", 41.0), ("memory", 55.0)] {
        let attributes = [(key::HW_ID, "GPU-a".into()), (key::HW_SENSOR_LOCATION, place.into())];
        all.push(series(&hw::TEMPERATURE, &attributes, celsius));
    }
    let attributes = [(key::HW_ID, "GPU-a".into()), (key::HW_TYPE, "gpu".into())];
    all.push(series(&hw::POWER, &attributes, 71.25));
    for (kind, watts) in [("enforced", 350.0), ("configured", 400.0), ("default", 300.0)] {
        let attributes = [
            (key::HW_ID, "GPU-a".into()),
            (accelscope_nvidia::key::NVIDIA_POWER_LIMIT, kind.into()),
        ];
        all.push(series(&nvidia::POWER_LIMIT, &attributes, watts));
    }
    all.extend(process("GPU-a", 4711, &pod(), Some(20.0 * GIB), Some(0.43)));
    all.extend(process("GPU-a", 99, &[], None, None));
    let mut ended = process("GPU-b", 5, &pod(), Some(GIB), Some(1.0));
    for series in &mut ended {
        series.value = None;
    }
    all.extend(ended);
    // A process that only renders: nvidia-smi's list of compute processes does not contain it.
    all.extend(process("GPU-b", 6, &[], Some(GIB), Some(0.5)));
    let draws = [
        (key::HW_ID, "GPU-b".into()),
        (key::PROCESS_PID, 6i64.into()),
        (accelscope_nvidia::key::NVIDIA_PROCESS_TYPE, "graphics".into()),
    ];
    all.push(series(&nvidia_parts::PROCESS_INFO, &draws, 1.0));
    // Another vendor's chip with a process of its own.
    all.extend(process("hailo-1", 7, &[], Some(MIB), None));
    all
}

const PROCESSES: &str = r#"# HELP gpu_process_count Processes on the GPU.
# TYPE gpu_process_count gauge
gpu_process_count{gpu="0",gi_id="none",ci_id="none"} 2
gpu_process_count{gpu="1",gi_id="none",ci_id="none"} 0
# HELP gpu_total_processes Processes on all GPUs; one on two GPUs counts twice.
# TYPE gpu_total_processes gauge
gpu_total_processes 2
# HELP gpu_process_info 1 for each process on a GPU, 0 for a GPU without any.
# TYPE gpu_process_info gauge
gpu_process_info{node="node-1",gpu="0",pid="99",command="python3.11",pod="unknown",namespace="unknown",container="unknown",status="active",gpu_memory="[N/A]MiB",start_time="1700000000",gi_id="none",ci_id="none"} 1
gpu_process_info{node="node-1",gpu="0",pid="4711",command="python3.11",pod="train-0",namespace="team \"a\"",container="main",status="active",gpu_memory="20480MiB",start_time="1700000000",gi_id="none",ci_id="none"} 1
gpu_process_info{node="node-1",gpu="1",pid="none",command="none",pod="none",namespace="none",container="none",status="idle",gpu_memory="0MiB",gi_id="none",ci_id="none"} 0
# HELP gpu_process_utilization Share of the GPU's multiprocessors that the process used, in percent.
# TYPE gpu_process_utilization gauge
gpu_process_utilization{node="node-1",gpu="0",pid="4711",command="python3.11",pod="train-0",namespace="team \"a\"",container="main",gpu_memory="20480MiB",start_time="1700000000",gi_id="none",ci_id="none"} 43
# HELP gpu_process_memory_utilization Share of the memory of the GPU, or of its instance, that the process has, in percent.
# TYPE gpu_process_memory_utilization gauge
gpu_process_memory_utilization{node="node-1",gpu="0",pid="4711",command="python3.11",pod="train-0",namespace="team \"a\"",container="main",gpu_memory="20480MiB",start_time="1700000000",gi_id="none",ci_id="none"} 25
# HELP gpu_process_start_time_seconds When the process started, in seconds since the epoch.
# TYPE gpu_process_start_time_seconds gauge
gpu_process_start_time_seconds{node="node-1",gpu="0",pid="99",command="python3.11",pod="unknown",namespace="unknown",container="unknown",gpu_memory="[N/A]MiB",start_time="1700000000",gi_id="none",ci_id="none"} 1700000000.25
gpu_process_start_time_seconds{node="node-1",gpu="0",pid="4711",command="python3.11",pod="train-0",namespace="team \"a\"",container="main",gpu_memory="20480MiB",start_time="1700000000",gi_id="none",ci_id="none"} 1700000000.25
"#;

#[test]
fn processes_have_the_labels_of_the_replaced_script_in_its_order() {
    let text = gpu_process_exporter::render(&machine(), &resource(), PidFormat::Raw);
    assert_eq!(text, PROCESSES);
}

#[test]
fn the_pid_of_the_readme_has_its_gpu_before_it() {
    let text = gpu_process_exporter::render(&machine(), &resource(), PidFormat::GpuPrefixed);
    let expected = PROCESSES
        .replace(r#"pid="4711""#, r#"pid="gpu0_4711""#)
        .replace(r#"pid="99""#, r#"pid="gpu0_99""#);
    assert_eq!(text, expected);
}

#[test]
fn instances_of_a_gpu_are_told_apart() {
    let instance = |gi: i64, ci: i64| {
        [
            (accelscope_nvidia::key::NVIDIA_GPU_INSTANCE, gi.into()),
            (accelscope_nvidia::key::NVIDIA_COMPUTE_INSTANCE, ci.into()),
        ]
    };
    let mut all = gpu("GPU-a", 3, "NVIDIA A100");
    let of_instance = [
        (key::HW_ID, "GPU-a".into()),
        (accelscope_nvidia::key::NVIDIA_GPU_INSTANCE, 7i64.into()),
    ];
    all.push(series(&nvidia_parts::MIG_MEMORY_LIMIT, &of_instance, 10.0 * GIB));
    all.extend(process("GPU-a", 1, &instance(7, 0), Some(8.0 * GIB), None));
    all.extend(process("GPU-a", 2, &instance(7, 0), Some(GIB), None));
    all.extend(process("GPU-a", 1, &instance(9, 1), Some(GIB), None));
    let text = gpu_process_exporter::render(&all, &resource(), PidFormat::Raw);
    for line in [
        r#"gpu_process_count{gpu="3",gi_id="7",ci_id="0"} 2"#,
        r#"gpu_process_count{gpu="3",gi_id="9",ci_id="1"} 1"#,
        "gpu_total_processes 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let share = text
        .lines()
        .find(|line| line.starts_with("gpu_process_memory_utilization{") && line.contains(r#"gpu_memory="8192MiB""#));
    assert!(share.unwrap().ends_with(r#"gi_id="7",ci_id="0"} 80"#), "{share:?}");
    assert!(
        !text.contains("idle") && !text.contains("gpu_process_utilization{"),
        "{text}"
    );
}

const NODE: &str = r#"# HELP hw_gpu_count Total number of GPUs per node
# TYPE hw_gpu_count gauge
hw_gpu_count{node="node-1"} 2
# HELP hw_gpu_used_count Number of GPUs currently in use per node
# TYPE hw_gpu_used_count gauge
hw_gpu_used_count{node="node-1"} 2
# HELP hw_gpu_type_count Number of GPUs by type per node
# TYPE hw_gpu_type_count gauge
hw_gpu_type_count{node="node-1",gpu_type="NVIDIA A100"} 1
hw_gpu_type_count{node="node-1",gpu_type="NVIDIA H100"} 1
# HELP hw_gpu_memory_total_bytes GPU total memory in bytes
# TYPE hw_gpu_memory_total_bytes gauge
hw_gpu_memory_total_bytes{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 85899345920
hw_gpu_memory_total_bytes{node="node-1",gpu_index="1",gpu_name="NVIDIA H100",gpu_uuid="GPU-b"} 85899345920
# HELP hw_gpu_memory_used_bytes GPU used memory in bytes
# TYPE hw_gpu_memory_used_bytes gauge
hw_gpu_memory_used_bytes{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 8589934592
hw_gpu_memory_used_bytes{node="node-1",gpu_index="1",gpu_name="NVIDIA H100",gpu_uuid="GPU-b"} 8589934592
# HELP hw_gpu_memory_free_bytes GPU free memory in bytes
# TYPE hw_gpu_memory_free_bytes gauge
hw_gpu_memory_free_bytes{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 76235669504
hw_gpu_memory_free_bytes{node="node-1",gpu_index="1",gpu_name="NVIDIA H100",gpu_uuid="GPU-b"} 76235669504
# HELP hw_gpu_utilization_percent GPU utilization percentage
# TYPE hw_gpu_utilization_percent gauge
hw_gpu_utilization_percent{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 57
# HELP hw_gpu_temperature_celsius GPU temperature in Celsius
# TYPE hw_gpu_temperature_celsius gauge
hw_gpu_temperature_celsius{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 41
# HELP hw_gpu_power_draw_watts GPU power draw in watts
# TYPE hw_gpu_power_draw_watts gauge
hw_gpu_power_draw_watts{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 71
# HELP hw_gpu_power_limit_watts GPU power limit in watts
# TYPE hw_gpu_power_limit_watts gauge
hw_gpu_power_limit_watts{node="node-1",gpu_index="0",gpu_name="NVIDIA A100",gpu_uuid="GPU-a"} 400
"#;

#[test]
fn a_gpu_of_which_nothing_is_known_is_not_idle() {
    let mut all = gpu("GPU-a", 0, "NVIDIA A100");
    all.push(lists("GPU-a", 0.0));
    let is_told = |all: &[Series]| {
        let text = gpu_process_exporter::render(all, &resource(), PidFormat::Raw);
        (
            text.contains("gpu_process_count{gpu=\"0\""),
            text.contains("status=\"idle\""),
        )
    };
    assert_eq!(is_told(&all), (true, true));
    // Lost or hanging: the driver still reports that it exists.
    all.retain(|series| series.instrument.name == nvidia::DEVICE_INFO.name);
    assert_eq!(is_told(&all), (false, false));
}

fn view(all: &[Series]) -> String {
    system_info_exporter::render(all, "node-1", Timestamp::from_unix_nanos(1))
}

/// `gpu_process_count` of each GPU and `gpu_total_processes`.
fn counts(all: &[Series]) -> Vec<String> {
    let text = gpu_process_exporter::render(all, &resource(), PidFormat::Raw);
    let names = ["gpu_process_count{", "gpu_total_processes "];
    let is_count = |line: &&str| names.iter().any(|name| line.starts_with(name)) || line.contains("idle");
    text.lines().filter(is_count).map(str::to_owned).collect()
}

fn lists(uuid: &str, processes: f64) -> Series {
    series(&nvidia_parts::PROCESSES, &[(key::HW_ID, uuid.into())], processes)
}

#[test]
fn processes_without_series_are_counted() {
    let mut all = [gpu("GPU-a", 0, "NVIDIA A100"), gpu("GPU-b", 1, "NVIDIA A100")].concat();
    all.extend([lists("GPU-a", 600.0), lists("GPU-b", 3.0)]);
    all.extend(process("GPU-a", 4711, &[], Some(GIB), None));
    let expected = [
        r#"gpu_process_count{gpu="0",gi_id="none",ci_id="none"} 600"#,
        r#"gpu_process_count{gpu="1",gi_id="none",ci_id="none"} 3"#,
        "gpu_total_processes 603",
    ];
    assert_eq!(counts(&all), expected);
    // Where some only render, the others' number is unknown.
    let draws = [
        (key::HW_ID, "GPU-b".into()),
        (key::PROCESS_PID, 6i64.into()),
        (accelscope_nvidia::key::NVIDIA_PROCESS_TYPE, "graphics".into()),
    ];
    all.push(series(&nvidia_parts::PROCESS_INFO, &draws, 1.0));
    assert_eq!(counts(&all), expected[..1]);
}

#[test]
fn processes_without_series_are_on_no_instance_in_particular() {
    let mut all = gpu("GPU-a", 0, "NVIDIA A100");
    all.push(lists("GPU-a", 600.0));
    let instance = [(accelscope_nvidia::key::NVIDIA_GPU_INSTANCE, 7i64.into())];
    all.extend(process("GPU-a", 1, &instance, Some(GIB), None));
    assert_eq!(counts(&all), ["gpu_total_processes 600"]);
}

#[test]
fn what_a_gpu_does_not_tell_is_absent_and_not_zero() {
    assert_eq!(view(&machine()), NODE);
    assert_eq!(view(&[]), "", "unknown, or none");
    assert_eq!(gpu_process_exporter::render(&[], &resource(), PidFormat::Raw), "");
}

/// promtool's complaints about names of the replaced tools, which are kept for compatibility.
const LINT: [&str; 4] = [
    r#"gpu_process_count non-histogram and non-summary metrics should not have "_count" suffix"#,
    r#"hw_gpu_count non-histogram and non-summary metrics should not have "_count" suffix"#,
    r#"hw_gpu_type_count non-histogram and non-summary metrics should not have "_count" suffix"#,
    r#"hw_gpu_used_count non-histogram and non-summary metrics should not have "_count" suffix"#,
];

#[test]
fn promtool_minds_nothing_but_inherited_names() {
    let promtool = std::env::var("ACCELSCOPE_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    if Command::new(&promtool).arg("--version").output().is_err() {
        return skip_test::skip(
            "promtool",
            "install Debian's package prometheus or set ACCELSCOPE_PROMTOOL",
        );
    }
    let mut text = gpu_process_exporter::render(&machine(), &resource(), PidFormat::Raw);
    text += &view(&machine());
    let mut child = Command::new(&promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let mut said: Vec<_> = std::str::from_utf8(&said).unwrap().lines().collect();
    said.sort_unstable();
    assert_eq!(said, LINT);
}

/// An agent on a machine without accelerators.
fn agent(host: &Path, sets: &[String]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .env("K8S_NODE_NAME", "node-1")
        .args(["--set", "otlp.enabled=false", "--set", "http.enabled=false"])
        .args(["--set", &format!("host.root={}", host.display())])
        .stdin(Stdio::null());
    for set in sets {
        command.args(["--set", set]);
    }
    Running::start(command)
}

#[test]
fn each_view_answers_on_a_listener_of_its_own() {
    let host = tempfile::tempdir().unwrap();
    let (processes, node) = (free_address(), free_address());
    let _agent = agent(
        host.path(),
        &[
            format!("compat.gpu_process_exporter.listen={processes}"),
            format!("compat.system_info_exporter.listen={node}"),
        ],
    );
    for address in [processes, node] {
        let Answer { head, body, .. } = wait_for("an answer", || get(address, "/metrics"));
        assert!(
            head.starts_with("http/1.1 200") && head.contains("text/plain; version=0.0.4"),
            "{head}"
        );
        assert!(!body.contains("gpu"), "without a GPU there is nothing to count: {body}");
    }
    for path in ["/health", "/healthz", "/ready"] {
        let Answer { head, body, .. } = get(node, path).unwrap();
        assert!(
            head.starts_with("http/1.1 200") && head.contains("application/json"),
            "{head}"
        );
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "healthy");
        assert!(answer["version"].is_string());
    }
    assert_eq!(get(processes, "/health").unwrap().status, 404);
    // The replaced exporter of nodes had no index and no words for what it did not know.
    for path in ["/", "/nope", "/node/", "/metrics/"] {
        let Answer { status, head, body } = get(node, path).unwrap();
        assert!(
            status == 404 && body.is_empty() && !head.contains("content-type"),
            "{path}: {head}"
        );
    }
    assert_eq!(get(processes, "/").unwrap().status, 200);
}

/// Status, head in lower case and body of another request than GET, or with further headers.
fn ask(address: SocketAddr, request: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase() + "\r\n", body.to_owned())
}

#[test]
fn every_path_of_system_info_exporter_has_its_status_and_its_type() {
    let host = tempfile::tempdir().unwrap();
    let node = free_address();
    let _agent = agent(host.path(), &[format!("compat.system_info_exporter.listen={node}")]);
    wait_for("an answer", || get(node, "/health"));
    let json = "\r\ncontent-type: application/json\r\n";
    let text = "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    for (path, content) in [
        ("/health", json),
        ("/healthz", json),
        ("/ready", json),
        ("/metrics", text),
        ("/metrics?name[]=x", text),
        ("/metrics/json", json),
        ("/node", json),
    ] {
        for method in ["GET", "HEAD"] {
            // It spoke no other format, whatever a scraper would take.
            let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
            let (status, head, body) = ask(node, &format!("{method} {path}"), accept);
            assert!(status == 200 && head.contains(content), "{method} {path}: {head}");
            assert!(method == "GET" || body.is_empty(), "{body}");
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let (status, head, body) = ask(node, &format!("{method} {path}"), "");
            assert!(
                status == 405 && head.contains("\r\nallow: get,head\r\n"),
                "{method} {path}: {head}"
            );
            assert_eq!(body, "");
        }
    }
    for request in ["HEAD /nope", "POST /nope", "GET /Health", "GET /node/x", "GET /%6eope"] {
        let (status, head, body) = ask(node, request, "");
        assert!(
            status == 404 && body.is_empty() && !head.contains("content-type"),
            "{request}: {head}"
        );
    }
}

#[test]
fn the_text_file_is_there_while_the_agent_is() {
    let host = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gpu_processes.prom");
    let mut agent = agent(
        host.path(),
        &[format!("compat.textfile={}", directory.path().display())],
    );
    let text = wait_for("the file", || std::fs::read_to_string(&file).ok());
    assert_eq!(text, "", "without a GPU there is nothing to count");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let pid = rustix::process::Pid::from_raw(agent.0.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = wait_for("the agent's end", || agent.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "node-exporter would read it for ever"
    );
}

#[test]
fn two_views_on_one_address_are_refused_before_anything_starts() {
    let address = free_address();
    let mut agent = agent(
        tempfile::tempdir().unwrap().path(),
        &[
            format!("compat.gpu_process_exporter.listen={address}"),
            format!("compat.system_info_exporter.listen={address}"),
        ],
    );
    let status = wait_for("the agent's end", || agent.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(64));
}
