//! The view of system-info-exporter with the real host: what its scrapers and scripts read, compared with an independent reading.
#![cfg(feature = "host")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod program_support;

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use free_port::free_address;
use program_support::{Answer, Logged, Running, get, wait_for};
use serde_json::Value;

/// An agent with this file of configuration and these variables.
fn command(file: &Path, env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command
        .env_clear()
        .envs(env.iter().copied())
        .arg("--config")
        .arg(file)
        .stdin(Stdio::null());
    command
}

/// A configuration with the view at that address, and these keys.
fn file(folder: &Path, address: SocketAddr, more: &str) -> std::path::PathBuf {
    let path = folder.join("agent.toml");
    let text = format!(
        "otlp.enabled = false\nhttp.enabled = false\nkubelet.enabled = false\nioctl.enabled = false\n\
         compat.system_info_exporter.listen = '{address}'\n{more}\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn json(address: SocketAddr, path: &str) -> Option<Value> {
    let Answer { status, head, body } = get(address, path)?;
    assert!(
        status == 200 && head.contains("content-type: application/json\r\n"),
        "{path}: {head}"
    );
    Some(serde_json::from_str(&body).unwrap())
}

/// The independent reading.
const PYTHON: &str = r#"
import json, os, platform
info = {}
for line in open("/proc/meminfo"):
    name, _, rest = line.partition(":")
    info[name] = int(rest.split()[0]) * (1024 if rest.endswith("kB\n") else 1)
release = platform.freedesktop_os_release() if os.path.exists("/etc/os-release") else {}
models = [l.partition(":")[2].strip() for l in open("/proc/cpuinfo") if l.partition(":")[0].strip() == "model name"]
print(json.dumps({
    "hostname": os.uname().nodename, "kernel_version": os.uname().release, "os_name": release.get("NAME"),
    "os_version": release.get("VERSION_ID"), "cpu_threads": os.cpu_count(), "cpu_model": models[0] if models else None,
    "uptime": float(open("/proc/uptime").read().split()[0]), "total": info["MemTotal"], "available": info["MemAvailable"],
}))
"#;

fn python() -> Option<Value> {
    let output = Command::new("python3").args(["-c", PYTHON]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_node_reads_as_python_reads_it() {
    let Some(before) = python() else {
        return skip_test::skip("python3", "install python3");
    };
    let folder = tempfile::tempdir().unwrap();
    let (elsewhere, address) = (free_address(), free_address());
    let port = address.port().to_string();
    let config = file(folder.path(), elsewhere, "host.period = '1s'\nnvidia.enabled = 'auto'");
    let env = [("APP__SERVER__PORT", port.as_str()), ("NODE_NAME", "node-9")];
    let _agent = Running::start(command(&config, &env));
    let node = wait_for("two readings of the host and a look for GPUs", || {
        let node = json(address, "/node")?;
        // The utilization is of the time between two readings.
        let is_complete = ["uptime_secs", "cpu_usage_percent", "gpu_count", "hostname"];
        is_complete.iter().all(|key| !node[*key].is_null()).then_some(node)
    });
    let after = python().unwrap();
    for key in [
        "hostname",
        "kernel_version",
        "os_name",
        "os_version",
        "cpu_threads",
        "cpu_model",
    ] {
        if !before[key].is_null() {
            assert_eq!(node[key], before[key], "{key}");
        }
    }
    assert_eq!(node["node"], "node-9");
    assert_eq!(node["memory_total_bytes"], before["total"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let uptime = number(&node["uptime_secs"]);
    assert!(
        number(&before["uptime"]).floor() <= uptime && uptime <= number(&after["uptime"]),
        "{node} {after}"
    );
    wait_for("memory as Python reads it about then", || {
        // A compiler beside it takes and gives back much between the readings.
        let slack = number(&before["total"]) / 4.0;
        let read = number(&python()?["available"]);
        let available = number(&json(address, "/node")?["memory_available_bytes"]);
        ((available - read).abs() < slack).then_some(())
    });
    let whole = |key: &str| node[key].as_u64().unwrap();
    let parts = whole("memory_used_bytes") + whole("memory_available_bytes");
    assert_eq!(parts, whole("memory_total_bytes"));
    let cores = node["cpu_cores"].as_u64().unwrap();
    assert!((1..=node["cpu_threads"].as_u64().unwrap()).contains(&cores), "{node}");
    let usage = number(&node["cpu_usage_percent"]);
    assert!((0.0..=100.0).contains(&usage), "{node}");
    let used = usage / 100.0 * number(&node["cpu_threads"]);
    assert!((number(&node["cpu_used_cores"]) - used).abs() < 1e-3, "{node}");
    if !Path::new("/proc/driver/nvidia/version").exists() {
        assert_eq!(node["gpu_count"], 0);
        let text = get(address, "/metrics").unwrap().body;
        assert!(
            !text.contains("hw_gpu_") && text.contains("hw_node_info{node=\"node-9\""),
            "{text}"
        );
        assert_eq!(text.matches("# HELP").count(), 10, "{text}");
    }
    let summary = json(address, "/metrics/json").unwrap();
    assert_eq!(
        (&summary["os_version"], &summary["hostname"]),
        (&node["os_version"], &node["hostname"])
    );
}

#[test]
fn a_broken_host_is_answered_and_its_odd_texts_are_kept() {
    let host = tempfile::tempdir().unwrap();
    let put = |path: &str, content: &[u8]| {
        let path = host.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    put("proc/cpuinfo", b"processor\t: 0\nmodel name\t: A \"B\" \\ \xff C\n\n");
    put("proc/meminfo", b"MemTotal:  many kB\nMemAvailable: 1024 kB\n");
    put("proc/uptime", b"soon\n");
    put("proc/loadavg", b"0.50 0.40 0.30 1/100 12345\n");
    put("proc/sys/kernel/osrelease", b"6.1.0-odd\n");
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let root = format!("host.root = '{}'\nhost.period = '1s'", host.path().display());
    let _agent = Running::start(command(&file(folder.path(), address, &root), &[]));
    let node = wait_for("the host's name", || {
        json(address, "/node").filter(|node| !node["cpu_model"].is_null())
    });
    assert_eq!(node["cpu_model"], "A \"B\" \\ \u{fffd} C");
    assert_eq!(
        (&node["os_name"], &node["os_version"]),
        (&"unknown".into(), &"unknown".into())
    );
    for key in [
        "uptime_secs",
        "memory_total_bytes",
        "memory_used_bytes",
        "memory_usage_percent",
        "cpu_usage_percent",
    ] {
        assert_eq!(node.get(key), Some(&Value::Null), "{key}");
    }
    let text = get(address, "/metrics").unwrap().body;
    let own = rustix::system::uname();
    let name = own.nodename().to_string_lossy();
    let info = format!(
        r#"hw_node_info{{node="{name}",os="unknown",os_version="unknown",kernel="6.1.0-odd",cpu_model="A \"B\" \\ {} C"}} 1"#,
        '\u{fffd}'
    );
    assert!(text.lines().any(|line| line == info), "{info} is not in\n{text}");
    assert!(!text.contains("uptime") && !text.contains("memory_total"), "{text}");
}

#[test]
fn a_port_that_is_none_ends_it_with_the_variable_s_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), free_address(), "");
    let latin = std::ffi::OsStr::from_bytes(b"80\xff");
    for value in [
        std::ffi::OsStr::new("70000"),
        std::ffi::OsStr::new("tcp://10.0.0.1:80"),
        latin,
    ] {
        let mut command = command(&config, &[]);
        command.env("APP__SERVER__PORT", value);
        let mut agent = Logged::start(command);
        assert_eq!(agent.running.exit_code(), Some(64), "{value:?}");
        let said = agent.last_words();
        assert!(said.starts_with("environment variable APP__SERVER__PORT: "), "{said}");
    }
}
